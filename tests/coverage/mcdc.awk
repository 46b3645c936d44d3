# Reads what `llvm-cov show --show-mcdc` says and prints, for each file: conditions, covered, excluded, missing;
# then each missing condition. A condition is covered if it is in any instantiation of its function (a function in a
# header has many).
#
#   exclusions: the table (file, exact text of the condition, reason), root: of the sources, wanted: a pattern of files
#   Answers 1 if a condition is missing or an exclusion names none.

function source_line(file, number,    text, n) {
    if (!((file, 0) in lines)) {
        n = 0
        while ((getline text < (root "/" file)) > 0) lines[file, ++n] = text
        lines[file, 0] = n
        close(root "/" file)
    }
    return lines[file, number]
}

# The table.
FILENAME == exclusions {
    if ($0 ~ /^#/ || $0 == "") next
    if (split($0, cell, "\t") != 3) {
        printf "%s:%d: expected file, condition, reason\n", exclusions, FNR
        bad = 1
        next
    }
    excluded[++rules] = cell[1]
    excluded_text[rules] = cell[2]
    next
}

/^\// {
    file = $0
    sub(/:$/, "", file)
    sub("^" root "/", "", file)
    next
}
/MC\/DC Decision Region/ {
    decision = $0
    sub(/^.*Decision Region \(/, "", decision)
    last = decision
    sub(/\).*$/, "", decision)
    sub(/^.*to \(/, "", last)
    first_line = decision + 0
    last_line = last + 0
}
/Condition C[0-9]+ --> \(/ {
    name = $0
    sub(/^.*Condition /, "", name)
    place = name
    sub(/ .*$/, "", name)
    sub(/^.*\(/, "", place)
    sub(/\).*$/, "", place)
    key = file ":" decision ":" name
    if (key in known) next
    known[key] = ++keys
    order[keys] = key
    of[keys] = file
    split(place, spot, ":")
    line_of[key] = first_line
    text_of[key] = source_line(file, first_line)
    macro_of[key] = spot[1] + 0 < first_line || spot[1] + 0 > last_line
    if (macro_of[key]) next # it stands where the macro does
    line_of[key] = spot[1] + 0
    text_of[key] = substr(source_line(file, spot[1] + 0), spot[2] + 0)
}
/C[0-9]+-Pair: / {
    name = $0
    sub(/-Pair.*$/, "", name)
    sub(/^.*\|[ ]*/, "", name)
    key = file ":" decision ":" name
    if ($0 ~ /-Pair: covered/) covered[key] = 1
    else if ($0 ~ /constant folded/) folded[key] = 1
}

# The rule that names the condition: its text begins there; a macro's stands somewhere in that line.
function rule_for(key, file,    i, there) {
    for (i = 1; i <= rules; i++) {
        if (excluded[i] != file) continue
        there = index(text_of[key], excluded_text[i])
        if (there == 1 || (macro_of[key] && there > 0)) return i
    }
    return 0
}

END {
    for (k = 1; k <= keys; k++) {
        key = order[k]
        file = of[k]
        if (file !~ wanted) continue
        if (!(file in total)) files[++file_count] = file
        total[file]++
        rule = rule_for(key, file)
        used[rule]++
        if (key in covered || key in folded) { done[file]++; continue } # even if excluded: a race may be won
        if (rule) { left[file]++; continue }
        missing[file]++
        list = list sprintf("%s:%d: not shown to decide alone: %s\n", file, line_of[key], text_of[key])
    }
    printf "%-36s %10s %8s %8s %8s\n", "MC/DC", "conditions", "covered", "excluded", "missing"
    for (i = 1; i <= file_count; i++) {
        file = files[i]
        printf "%-36s %10d %8d %8d %8d\n", file, total[file], done[file], left[file], missing[file]
        all += total[file]; all_done += done[file]; all_left += left[file]; all_missing += missing[file]
    }
    printf "%-36s %10d %8d %8d %8d\n", "all", all, all_done, all_left, all_missing
    printf "%s", list
    for (i = 1; i <= rules; i++) {
        if (used[i]) continue
        printf "%s: there is no such condition: %s: %s\n", exclusions, excluded[i], excluded_text[i]
        bad = 1
    }
    exit bad || all_missing > 0 || all == 0
}
