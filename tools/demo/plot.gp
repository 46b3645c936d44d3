# gnuplot -c plot.gp NAME SECONDS: NAME.tsv, which weir-demo --plot writes, as NAME.svg and NAME.png.
name = ARG1
seconds = ARG2 + 0
phases = "healthy errors slow silent gone back"
step = seconds / words(phases)

set datafile separator "\t"
set style line 1 linecolor rgb "#c0392b" linewidth 2
set style line 2 linecolor rgb "#1f6f8b" linewidth 2
set style line 3 linecolor rgb "#999999" linewidth 1 dashtype 2
set grid ytics linecolor rgb "#dddddd"
set border 3 linecolor rgb "#666666"
set tics nomirror
set xrange [0:seconds]
do for [i = 1:words(phases) - 1] {
    set arrow i from i * step, graph 0 to i * step, graph 1 nohead linecolor rgb "#bbbbbb"
}

do for [output in "svg png"] {
    if (output eq "svg") {
        set terminal svg size 900,520 font "sans,13" background rgb "white"
    } else {
        set terminal pngcairo size 900,520 font "sans,10" background rgb "white"
    }
    set output name.".".output
    set multiplot layout 2,1
    set lmargin 11
    set rmargin 2

    unset logscale y
    set yrange [0:*]
    set ylabel "answered in time, per s"
    set format x ""
    unset xlabel
    set bmargin 1
    set tmargin 3
    set key at graph 0.74, graph 0.93 right noopaque
    do for [i = 1:words(phases)] {
        set label i word(phases, i) at (i - 0.5) * step, graph 1.08 center
    }
    plot name.".tsv" using 1:2 with lines linestyle 1 title "bare", \
         name.".tsv" using 1:3 with lines linestyle 2 title "through weir"

    do for [i = 1:words(phases)] { unset label i }
    set logscale y
    set yrange [0.3:20000]
    set ytics ("1 ms" 1, "10 ms" 10, "100 ms" 100, "1 s" 1000, "10 s" 10000)
    set ylabel "p99 until an answer"
    set format x "%g s"
    set bmargin 2
    set tmargin 1
    unset key
    set label 1 "deadline" at seconds * 0.01, 420 textcolor rgb "#777777"
    plot 300 with lines linestyle 3, \
         name.".tsv" using 1:4 with lines linestyle 1, \
         name.".tsv" using 1:5 with lines linestyle 2
    unset label 1
    unset multiplot
    set ytics autofreq
    set output
}
