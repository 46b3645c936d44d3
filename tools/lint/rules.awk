# The rules of the house that a line of text shows. Input: paths relative to the root, as arguments.
# Output: path:line: rule: what is wrong. tools/lint/selftest plants a violation of each.

function report(line, rule, what) {
    printf "%s:%d: %s: %s\n", file, line, rule, what
    failed = 1
}

# The line without comments and with empty strings; knows whether a comment goes on.
function clean(text,    result, i, c, two, quote) {
    result = ""
    for (i = 1; i <= length(text); i++) {
        two = substr(text, i, 2)
        c = substr(text, i, 1)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; i++ }
        } else if (quote != "") {
            if (c == "\\") i++
            else if (c == quote) { quote = ""; result = result c }
        } else if (two == "/*") { in_comment = 1; i++ }
        else if (two == "//") break
        else {
            if (c == "\"" || c == "'") quote = c
            result = result c
        }
    }
    return result
}

# Which folders of lib/ a folder may include and call (docs/design.md, The house).
BEGIN {
    may["base"] = " base "
    may["wire"] = " base wire "
    may["os"] = " base os "
    may["policy"] = " base policy "
    may["pipeline"] = " base policy pipeline "
    may["telemetry"] = " base os policy pipeline telemetry "
    may["runtime"] = " base os policy pipeline telemetry shared runtime "
    may["spec"] = " base policy pipeline runtime spec "
    may["shared"] = " base policy shared "
    may["redis"] = " base os redis "
    folders = " base wire os policy pipeline telemetry runtime spec shared redis testing adapters "
}

function finish() {
    if (file == "") return
    if (lines > 500) report(lines, "file-length", lines " lines, at most 500")
}

FNR == 1 {
    finish()
    file = FILENAME
    in_comment = in_function = in_define = macro_depth = 0
    previous = ""
    split(file, part, "/")
    lib = part[1] == "lib"
    folder = lib ? part[2] : ""
    is_c = file ~ /\.[ch]$/
    tests = part[1] == "tests"
}

{ lines = FNR }

/TODO|FIXME/ && file !~ /^tools\/lint\// { report(FNR, "unfinished", "TODO or FIXME") }

!is_c { next }

{
    line = clean($0)
    include_rules()
    if (lib) lib_rules()
    if (folder == "policy" || folder == "pipeline") macro_rule()
    function_length()
}

function include_rules(    target, other, path) {
    if ($0 !~ /^[ \t]*#[ \t]*include/) return
    if (folder ~ /^(policy|pipeline|shared|wire)$/ && \
        $0 ~ /<(pthread|threads|time|poll|signal|sched|sys\/.*|netinet\/.*|arpa\/.*)\.h>/)
        report(FNR, "pure", folder " touches no clock, thread or socket")
    if ($0 !~ /"/ || tests) return
    target = $0
    sub(/^[^"]*"/, "", target)
    sub(/".*$/, "", target)
    if (target ~ /\.\.\//) {
        report(FNR, "layers", "\"" target "\" goes up; name the folder from lib/")
        return
    }
    if (split(target, path, "/") < 2) return # a header of its own folder
    other = path[1]
    if (index(folders, " " other " ") == 0) return
    if (!(folder in may)) {
        if (other != folder) report(FNR, "layers", "only public headers here, not \"" target "\"")
    } else if (index(may[folder], " " other " ") == 0)
        report(FNR, "layers", folder " may not include " other)
}

function lib_rules() {
    if (line ~ /atomic_thread_fence|atomic_signal_fence|__sync_synchronize/)
        report(FNR, "fence", "order belongs on the access (ThreadSanitizer does not see fences)")
    if (folder != "base" && line ~ /ck_pr_/)
        report(FNR, "ck_pr", "use base/atomic.h (ThreadSanitizer reports false races on ck_pr)")
    if (folder != "os" && line ~ /clock_gettime/)
        report(FNR, "clock", "only lib/os reads a clock")
}

# MC/DC tools do not see conditions inside a macro's argument.
function macro_rule(    text, word) {
    if (line ~ /^[ \t]*#[ \t]*(if|elif)/) return
    text = line
    sub(/^[ \t]*#[ \t]*define[ \t]+[A-Za-z_0-9]+(\([^)]*\))?/, "", text)
    while (text != "") {
        if (macro_depth == 0) {
            if (!match(text, /[A-Za-z_][A-Za-z_0-9]*/)) return
            word = substr(text, RSTART, RLENGTH)
            text = substr(text, RSTART + RLENGTH)
            if (word ~ /^[A-Z][A-Z_0-9]+$/ && text ~ /^\(/) {
                macro_depth = 1
                text = substr(text, 2)
            }
        } else {
            if (!match(text, /[()]|&&|\|\|/)) return
            word = substr(text, RSTART, RLENGTH)
            text = substr(text, RSTART + RLENGTH)
            if (word == "(") macro_depth++
            else if (word == ")") macro_depth--
            else report(FNR, "macro-condition", word " inside a macro's argument is blind to MC/DC")
        }
    }
}

# A function opens with a brace after a parenthesis while no other is open, and ends with a brace in the
# first column: true of every formatted file.
function function_length() {
    if (in_define || line ~ /^[ \t]*#[ \t]*define/) {
        in_define = line ~ /\\$/
        return
    }
    if (in_function) {
        if (line ~ /^}/) {
            if (FNR - in_function + 1 > 70)
                report(in_function, "function-length", FNR - in_function + 1 " lines, at most 70")
            in_function = 0
        }
    } else if (line ~ /\)[ \t]*{$/ || (line ~ /^{/ && previous ~ /\)[ \t]*$/))
        in_function = FNR
    if (line !~ /^[ \t]*$/) previous = line
}

END {
    finish()
    exit failed
}
