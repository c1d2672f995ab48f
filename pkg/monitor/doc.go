// Package monitor draws a CloudWatch dashboard as one self-contained page: what
// AWS's console shows of it, for where there is no console. The page loads
// nothing and runs nothing; it is as of the moment when it was drawn.
//
// Text, alarm and metric widgets are drawn, metrics as lines over time in one
// axis on the left and one on the right. Of any other widget the page says what
// it would show.
package monitor
