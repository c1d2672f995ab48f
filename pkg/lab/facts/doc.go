// Package facts holds what the lab takes for AWS's behaviour, as numbered
// claims with their sources and a check for each. It is tests only.
//
// Every check speaks to the API with the SDK's own clients. It runs against a
// lab of its own on the memory runtime and, with LIVE_AWS=1, against the account
// that the SDK's default chain leads to:
//
//	go test ./pkg/lab/facts
//	go test ./pkg/lab/facts -run TestFacts/F031
//	LIVE_AWS=1 LIVE_AWS_IMAGE=ami-… LIVE_AWS_OTHER_IMAGE=ami-… go test ./pkg/lab/facts -timeout 6h -parallel 4
//
// docs/lab.md is made of the claims, of the actions the lab answers and of its size:
//
//	go test ./pkg/lab/facts -run TestPage -update
package facts
