// Package route53 is the lab's Route 53: hosted zones and their records, which
// are all the names that the lab's internet knows.
package route53
