// Package logs is the lab's CloudWatch Logs: log groups and how long they keep.
package logs
