package template

// StackPolicyPath is the file of production's stack policy, relative to the
// root of the repository.
const StackPolicyPath = "cloudformation/stack-policy.json"
