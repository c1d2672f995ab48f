package config

import "strings"

// Screen is what the environment says about who reads the output.
type Screen struct {
	Redraw   bool // a terminal, if it is one, may be redrawn
	Verbose  bool // what children print is wanted
	TeamCity bool // a build of TeamCity reads it
}

// ReadScreen takes a Screen from an environment as os.Environ has it.
func ReadScreen(environ []string) Screen {
	env := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	team := env["TEAMCITY_VERSION"] != ""
	return Screen{
		Redraw:  env["TERM"] != "" && env["TERM"] != "dumb" && env["CI"] == "" && !team,
		Verbose: env["CHAIN_VERBOSE"] == "1", TeamCity: team,
	}
}
