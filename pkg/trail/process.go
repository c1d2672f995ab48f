package trail

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/command"
)

// machine tells this machine from others of the same name, and a container
// from its host: process numbers mean something only within it.
func machine() string {
	host, _ := os.Hostname()
	parts := []string{host}
	for _, f := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if b, err := os.ReadFile(f); err == nil && len(strings.TrimSpace(string(b))) > 0 {
			parts = append(parts, strings.TrimSpace(string(b)))
			break
		}
	}
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil {
		parts = append(parts, ns)
	}
	return strings.Join(parts, " ")
}

// born is when the process of that number began, in whatever words the system
// has for it, "" when there is none. A number is used again; its birth is not.
func born(ctx context.Context, g git, pid int) string {
	id := strconv.Itoa(pid)
	if stat, err := os.ReadFile("/proc/" + id + "/stat"); err == nil {
		// The name, in parentheses, may hold anything; field 22 is the start in
		// ticks since boot, the first after the name is the state.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
		if len(fields) > 19 && fields[0] != "Z" && fields[0] != "X" {
			return strings.TrimSpace(string(boot)) + " " + fields[19]
		}
		return ""
	} else if _, err := os.Stat("/proc/self/stat"); err == nil {
		return ""
	}
	out, err := g.runner.Run(ctx, command.Cmd{Name: "ps", Args: []string{"-o", "lstart=", "-p", id}, Env: always})
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(out)), " ")
}
