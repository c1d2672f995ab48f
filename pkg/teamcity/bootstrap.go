package teamcity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/pipeline"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// Project is the id of the project that .teamcity/settings.kts describes.
const Project = "Chain"

// Setup is a bootstrap: from a server that somebody has accepted the licence of
// to a project that builds. The caller fills in the first part.
type Setup struct {
	Client     *Client
	Login      string // file that keeps the administrator's name, password and token, of whoever runs this alone
	SuperUser  string // token from the server's log; needed until there is an administrator
	Repository string // "git@github.com:acme/site.git"
	Branch     string // its default, "main"
	Approvers  string // key of the group whose members approve a push; "" is the settings' own
	Github     string // token that reads pull requests and writes statuses; "" leaves what is there
	// Agents are patterns of names that are let in. Whoever reaches the server can
	// take a name, so name them one by one.
	Agents []string

	Version   string
	PublicKey string // of the SSH key, to be let in by the Git server
	Queued    *Build // the first build, nil if there was one

	login login
	made  bool // the key is new
}

type login struct {
	User     string `json:"user"`
	Password string `json:"password"`
	Token    string `json:"token,omitempty"`
	Github   string `json:"github,omitempty"` // digest of the token that the server was given
}

// What the server knows things by.
const (
	user     = "chain"
	sshKey   = "deploy-key"
	rootID   = Project + "_Settings"
	anywhere = "/projects/id:" + Project
)

// Bootstrap are its steps. Each looks first, so the same command again goes on.
func Bootstrap() []pipeline.Step[Setup] {
	step := func(name, state string, fn func(context.Context, *pipeline.Run, *Setup) error) pipeline.Step[Setup] {
		return pipeline.Func(name, func(ctx context.Context, run *pipeline.Run, s *Setup) error {
			return refused(fn(ctx, run, s), name+" failed", state)
		})
	}
	return []pipeline.Step[Setup]{
		step("make an administrator with a token", "there is no project yet", administrator),
		step("check the server's version", "there is no project yet", version),
		step("tell the server its address", "there is no project yet", address),
		step("make the project", "there is no project yet", makeProject),
		step("make the SSH key", "the project has no settings yet", makeKey),
		step("make the root of the settings", "the project has no settings yet", makeRoot),
		step("hand over the secrets", "the project has no settings yet", handOver),
		step("have the settings come from Git", "the project has no settings yet", settings),
		step("authorise the agents", "the project is there", authorise),
		step("queue the first build", "the project is there", first),
	}
}

// readLogin is what an earlier run kept.
func (s *Setup) readLogin() error {
	b, err := os.ReadFile(s.Login)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s.login)
	}
	if err != nil {
		return fmt.Errorf("read the administrator's login: %w", err)
	}
	return nil
}

// keepLogin writes it for its owner alone, whole or not at all.
func (s *Setup) keepLogin() error {
	b, err := json.Marshal(s.login)
	if err != nil {
		return fmt.Errorf("write the administrator's login: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.Login), 0o700); err != nil {
		return fmt.Errorf("write the administrator's login: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.Login), filepath.Base(s.Login)+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write the administrator's login: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.Login)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the administrator's login: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// Token is what an earlier bootstrap kept at that path.
func Token(file string) (string, error) {
	s := &Setup{Login: file}
	if err := s.readLogin(); err != nil {
		return "", err
	}
	if s.login.Token == "" {
		return "", usage("there is no token in "+file, "./station.sh teamcity:bootstrap")
	}
	return s.login.Token, nil
}

// administrator makes the user that everything after this is done as. The
// password is kept before the user is made: whoever is killed in between knows it.
func administrator(ctx context.Context, run *pipeline.Run, s *Setup) error {
	if err := s.readLogin(); err != nil {
		return err
	}
	if s.login.Token == "" {
		if s.SuperUser == "" {
			return usage("nobody is known to the server yet: the super user's token is needed",
				"sudo grep 'Super user authentication token' /opt/TeamCity/logs/teamcity-server.log   # on the server", "export CHAIN_TEAMCITY_SUPERUSER=...")
		}
		if err := s.makeUser(ctx, run); err != nil {
			return err
		}
	}
	s.Client = s.Client.as("", s.login.Token, false)
	return nil
}

func (s *Setup) makeUser(ctx context.Context, run *pipeline.Run) error {
	if s.login.Password == "" {
		s.login = login{User: user, Password: rand.Text()}
		if err := s.keepLogin(); err != nil {
			return err
		}
	}
	super := s.Client.as("", s.SuperUser, true)
	err := super.get(ctx, "/users/username:"+user, url.Values{"fields": {"username"}}, &struct{}{})
	if absent(err) {
		run.Note("making the user %s", user)
		err = super.do(ctx, "POST", "/users", nil, map[string]any{
			"username": s.login.User, "password": s.login.Password,
			"roles": map[string]any{"role": []map[string]string{{"roleId": "SYSTEM_ADMIN", "scope": "g"}}},
		}, &struct{}{})
	}
	if err != nil {
		return err
	}
	self := s.Client.as(s.login.User, s.login.Password, true)
	// A token whose answer was lost is no use to anybody.
	if err := self.do(ctx, "DELETE", "/users/current/tokens/"+user, nil, nil, nil); err != nil && !absent(err) {
		return err
	}
	var made struct{ Value string }
	if err := self.do(ctx, "POST", "/users/current/tokens/"+user, nil, nil, &made); err != nil {
		return err
	}
	s.login.Token = made.Value
	run.Note("the token is in %s", s.Login)
	return s.keepLogin()
}

func version(ctx context.Context, run *pipeline.Run, s *Setup) error {
	v, err := s.Client.Guard(ctx)
	s.Version = v
	run.Fact("version", v)
	return err
}

// address has the server name itself in links and to agents as it is reached from
// here: behind nginx it cannot know.
func address(ctx context.Context, run *pipeline.Run, s *Setup) error {
	var now struct {
		URL string `json:"webUrl"`
	}
	if err := s.Client.get(ctx, "/server", url.Values{"fields": {"webUrl"}}, &now); err != nil {
		return err
	}
	if strings.TrimSuffix(now.URL, "/") == s.Client.o.URL {
		run.Note("it is %s", s.Client.o.URL)
		return nil
	}
	return s.Client.do(ctx, "PUT", "/server/rootUrl", nil, s.Client.o.URL, new(string))
}

// once makes what is not there.
func (s *Setup) once(ctx context.Context, run *pipeline.Run, what, where, create string, in any) error {
	err := s.Client.get(ctx, where, url.Values{"fields": {"id"}}, &struct{}{})
	if err == nil {
		run.Note("%s is there", what)
	}
	if !absent(err) {
		return err
	}
	return s.Client.do(ctx, "POST", create, nil, in, &struct{}{})
}

func makeProject(ctx context.Context, run *pipeline.Run, s *Setup) error {
	return s.once(ctx, run, "project "+Project, anywhere, "/projects", map[string]any{"id": Project, "name": Project, "parentProject": map[string]string{"id": "_Root"}})
}

// makeKey has the server make the key: its private half never leaves it.
func makeKey(ctx context.Context, run *pipeline.Run, s *Setup) error {
	var list struct {
		Keys []struct {
			Name   string `json:"name"`
			Public string `json:"publicKey"`
		} `json:"sshKey"`
	}
	find := func() error {
		err := s.Client.get(ctx, anywhere+"/sshKeys", nil, &list)
		for _, k := range list.Keys {
			if k.Name == sshKey {
				s.PublicKey = k.Public
			}
		}
		return err
	}
	if err := find(); err != nil || s.PublicKey != "" {
		return err
	}
	err := s.Client.do(ctx, "POST", anywhere+"/sshKeys/generated", url.Values{"keyName": {sshKey}, "keyType": {"ED25519"}}, nil, nil)
	if err != nil {
		return err
	}
	s.made = true
	if err := find(); err != nil {
		return err
	}
	if s.PublicKey == "" {
		return errors.New("the server does not tell the key that it made")
	}
	run.Note("let this key in at the Git server, with the right to write: %s", s.PublicKey)
	return nil
}

func makeRoot(ctx context.Context, run *pipeline.Run, s *Setup) error {
	if s.Repository == "" {
		return usage("which repository? its address is not set", "export CHAIN_TEAMCITY_REPOSITORY=git@...")
	}
	p := []property{
		{"url", s.Repository},
		{"branch", "refs/heads/" + s.Branch},
		{"teamcity:branchSpec", "+:refs/heads/*"},
		{"authMethod", "TEAMCITY_SSH_KEY"},
		{"teamcitySshKey", sshKey},
	}
	return s.once(ctx, run, "root "+rootID, "/vcs-roots/id:"+rootID, "/vcs-roots", map[string]any{
		"id": rootID, "name": "settings", "vcsName": "jetbrains.git", "project": map[string]string{"id": Project}, "properties": properties{p},
	})
}

type parameters struct {
	List []property `json:"versionedSettingsContextParameter"`
}

// handOver sets what the settings ask the server for. The secret itself goes to
// the server's own store, which names it.
func handOver(ctx context.Context, run *pipeline.Run, s *Setup) error {
	var now parameters
	if err := s.Client.get(ctx, anywhere+"/versionedSettings/contextParameters", nil, &now); err != nil {
		return err
	}
	want := map[string]string{"ssh.key": sshKey}
	if s.Approvers != "" {
		want["approvers"] = s.Approvers
	}
	sum := sha256.Sum256([]byte(s.Github))
	digest := hex.EncodeToString(sum[:])
	if s.Github != "" && (s.login.Github != digest || (properties{now.List}).value("github.token") == "") {
		var name string
		if err := s.Client.do(ctx, "POST", anywhere+"/secure/tokens", nil, s.Github, &name); err != nil {
			return err
		}
		if !strings.HasPrefix(name, "credentialsJSON:") {
			return errors.New("the server does not name the secret that it was given")
		}
		want["github.token"] = name
	}
	changed := false
	for _, name := range []string{"ssh.key", "approvers", "github.token"} {
		value, ok := want[name]
		if !ok || (properties{now.List}).value(name) == value {
			continue
		}
		changed = true
		kept := []property{{name, value}}
		for _, p := range now.List {
			if p.Name != name {
				kept = append(kept, p)
			}
		}
		now.List = kept
	}
	if !changed {
		run.Note("they are there")
		return nil
	}
	if err := s.Client.do(ctx, "PUT", anywhere+"/versionedSettings/contextParameters", nil, now, &struct{}{}); err != nil {
		return err
	}
	s.login.Github = digest
	return s.keepLogin()
}

// versioned is how the server treats settings in Git. Those of a branch count for
// that branch's builds only by default, and nobody edits them by hand.
type versioned struct {
	Mode     string `json:"synchronizationMode"`
	Root     string `json:"vcsRootId"`
	Format   string `json:"format"`
	Build    string `json:"buildSettingsMode"`
	Editing  bool   `json:"allowUIEditing"`
	Show     bool   `json:"showSettingsChanges"`
	Outside  bool   `json:"storeSecureValuesOutsideVcs"`
	Portable bool   `json:"portableDsl"`
	Import   string `json:"importDecision,omitempty"`
}

func settings(ctx context.Context, run *pipeline.Run, s *Setup) error {
	want := versioned{Mode: "enabled", Root: rootID, Format: "kotlin", Build: "useCurrentByDefault", Show: true, Outside: true, Portable: true}
	var now versioned
	if err := s.Client.get(ctx, anywhere+"/versionedSettings/config", nil, &now); err != nil {
		return err
	}
	now.Import = ""
	if now != want {
		want.Import = "importFromVCS"
		if err := s.Client.do(ctx, "PUT", anywhere+"/versionedSettings/config", nil, want, &struct{}{}); err != nil {
			return err
		}
	}
	if types, err := s.Client.buildTypes(ctx, Project); err != nil || len(types) > 0 {
		return err
	}
	if err := s.Client.do(ctx, "POST", anywhere+"/versionedSettings/loadSettings", nil, nil, nil); err != nil {
		return err
	}
	return s.loaded(ctx, run)
}

// looks is how often the server is asked for the settings before it is given up.
const looks = 60

// loaded waits for the builds, and tells why there are none.
func (s *Setup) loaded(ctx context.Context, run *pipeline.Run) error {
	run.Await("the settings")
	defer run.Await("")
	var status struct {
		Type    string   `json:"type"`
		Message string   `json:"message"`
		Missing []string `json:"missingContextParameters"`
		Errors  []struct {
			Message string `json:"message"`
		} `json:"versionedSettingsError"`
	}
	for range looks {
		if types, err := s.Client.buildTypes(ctx, Project); err != nil || len(types) > 0 {
			return err
		}
		if err := s.Client.get(ctx, anywhere+"/versionedSettings/status", nil, &status); err != nil {
			return err
		}
		if status.Type == "warn" {
			break
		}
		if err := s.Client.o.Clock.Sleep(ctx, s.Client.o.Poll); err != nil {
			return err
		}
	}
	why := []string{status.Message}
	for _, e := range status.Errors {
		why = append(why, e.Message)
	}
	next := []string{"the same command again  # what is done is not done again"}
	if s.made || s.PublicKey != "" {
		next = append([]string{"let the key in at the Git server, with the right to write: " + s.PublicKey}, next...)
	}
	return &report.Failure{
		Code: report.Internal, ID: "E-TC-07", What: "the server does not load the settings: " + strings.Join(why, "; "),
		State: "the project is there, without builds", Next: next,
	}
}

func authorise(ctx context.Context, run *pipeline.Run, s *Setup) error {
	list, err := s.Client.agents(ctx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.Authorized {
			continue
		}
		meant := false
		for _, pattern := range s.Agents {
			ok, err := path.Match(pattern, a.Name)
			if err != nil {
				return usage(fmt.Sprintf("%q is no pattern", pattern))
			}
			meant = meant || ok
		}
		if !meant {
			run.Note("agent %s is not let in: CHAIN_TEAMCITY_AGENTS does not name it", a.Name)
			continue
		}
		if err := s.Client.do(ctx, "PUT", fmt.Sprintf("/agents/id:%d/authorized", a.ID), nil, "true", new(string)); err != nil {
			return err
		}
		run.Note("agent %s is let in", a.Name)
	}
	return nil
}

func first(ctx context.Context, run *pipeline.Run, s *Setup) error {
	types, err := s.Client.buildTypes(ctx, Project)
	if err != nil {
		return err
	}
	for _, t := range types {
		if t.target() != "check" {
			continue
		}
		b, err := s.Client.last(ctx, t.ID)
		if err != nil || b != nil {
			return err
		}
		if s.Queued, err = s.Client.queue(ctx, t.ID); err == nil {
			run.Note("queued: %s", s.Queued.URL)
		}
		return err
	}
	return errors.New("no build runs check")
}
