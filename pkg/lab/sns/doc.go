// Package sns is the lab's SNS: topics and subscriptions; what is published is
// recorded, and delivered to nobody.
package sns
