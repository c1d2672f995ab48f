// Package cloudwatch is the lab's CloudWatch: alarms over what the lab's load
// balancers and groups really do, and dashboards.
package cloudwatch
