// Package station looks at the tools of a person's machine: which are there, in
// which version, and where those come from that are missing or too old. What is
// needed stands in the table station/tools, which station.sh reads as well; both
// print the same lines for the same machine. Only station.sh installs anything,
// for it has to run where there is no Go yet.
package station
