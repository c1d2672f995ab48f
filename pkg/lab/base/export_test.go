package base

// What the tests look at without an engine.
var (
	HostSources = hostSources
	MirrorsOf   = mirrors
	PassedOn    = passedOn
	Write       = write
	Bootstrap   = bootstrap
	Forget      = forget
)
