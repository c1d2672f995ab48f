// Package wire is how the lab's actions look on the network: one codec for each
// of the protocols that AWS speaks, working by reflection over the plain input
// and output structs of the services.
//
// A member is named like its Go field. Where it differs, a tag says so:
//
//	wire:"NAME[,item=ITEM][,flat][,empty][,header][,query]"
//
//	NAME     the member's name on the wire ("" keeps the default)
//	item=X   name of a list's items in XML; default "member" (Query, RESTXML) or "item" (EC2)
//	flat     the list has no element around its items
//	empty    written even when the string is empty
//	header   REST only: an HTTP header
//	query    REST only: a parameter in the URL's query
//
// EC2 answers with the first letter of NAME in lower case, so a list has its own
// tag there (Vpcs is wire:"vpcSet"); EC2 requests have no element around list
// items, so their tag is the singular (InstanceIds is wire:"InstanceId").
//
// Strings, times and structs that are zero and nil pointers are left out of an
// answer; numbers, booleans and empty lists never are. A
// request with a member the input struct does not have is refused, never
// silently understood as something else.
package wire
