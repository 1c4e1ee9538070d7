# One picture: a line for each block of "data", of the colours; see plots.sql.

set terminal svg size 840,520 noenhanced font 'sans-serif,14' background 'white'
set output picture
set title heading
set xlabel x
set ylabel y
set logscale x
set grid
set key below
set format x '%.0s%c'
if (kind eq 'cost') {
	set logscale y
	set format y '%g'
	plot for [i = 0:lines - 1] data index i using 1:2:3:4 with yerrorlines linewidth 2 linecolor rgb word(colours, i + 1) pointtype 7 pointsize 0.5 title columnheader(1)
} else {
	set yrange [0:100]
	set format x '%g'
	plot for [i = 0:lines - 1] data index i using 1:2 with steps linewidth 2 linecolor rgb word(colours, i + 1) title columnheader(1)
}
