package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/ec2"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Status is what GET /_lab/status answers.
type Status struct {
	ID       string    `json:"id"`
	PID      int       `json:"pid"`
	Dir      string    `json:"dir"`
	Build    string    `json:"build"`
	API      string    `json:"api"`
	SOCKS    string    `json:"socks"`
	Started  time.Time `json:"started"`
	Account  string    `json:"account"`
	Factor   float64   `json:"factor"`
	Machines []Machine `json:"machines"`
	Stacks   []Stack   `json:"stacks"`
	Images   int       `json:"images"`
	Faults   int       `json:"faults"`
}

// Machine is an instance in the status.
type Machine struct {
	ID      string `json:"id"`
	Region  string `json:"region"`
	State   string `json:"state"`
	Image   string `json:"image"`
	Private string `json:"private"`
	Public  string `json:"public,omitempty"`
	Group   string `json:"group,omitempty"`
	Name    string `json:"name,omitempty"`
}

// Stack in the status; deleted ones are left out.
type Stack struct {
	Name   string `json:"name"`
	Region string `json:"region"`
	Status string `json:"status"`
}

// control adds the lab's own API: no AWS client ever asks for these paths.
func (l *Lab) control(mux *http.ServeMux) {
	mux.HandleFunc("GET /_lab/status", l.getStatus)
	mux.HandleFunc("POST /_lab/stop", l.postStop)
	mux.HandleFunc("GET /_lab/actions", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, l.Actions()) })
	mux.HandleFunc("GET /_lab/calls", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, l.Calls()) })
	mux.HandleFunc("DELETE /_lab/calls", func(w http.ResponseWriter, _ *http.Request) { l.ResetCalls(); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /_lab/faults", l.getFaults)
	mux.HandleFunc("POST /_lab/faults", l.postFault)
	mux.HandleFunc("DELETE /_lab/faults", l.deleteFaults)
	mux.HandleFunc("DELETE /_lab/faults/{id}", l.deleteFaults)
	mux.HandleFunc("POST /_lab/break", l.postBreak)
	mux.HandleFunc("GET /_lab/kinds", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"kinds": core.Faults, "matches": core.FaultMatches})
	})
	mux.HandleFunc("POST /_lab/images", l.postImage)
	mux.HandleFunc("GET /_lab/world", l.getWorld)
	mux.HandleFunc("/_lab/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, fmt.Errorf("the lab's control API has no %s %s", r.Method, r.URL.Path))
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // a client that went away does not want it any more
}

func refuse(w http.ResponseWriter, status int, err error) {
	reply(w, status, map[string]string{"error": err.Error()})
}

func read(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("the body of %s %s cannot be read: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

// Status tells what the lab is and what it runs.
func (l *Lab) Status() Status {
	s := Status{PID: pid(), Dir: l.opts.Dir, Build: l.opts.Build, Started: l.started, Factor: l.opts.Factor, Machines: []Machine{}, Stacks: []Stack{}}
	if s.Factor <= 0 {
		s.Factor = 10
	}
	if l.api != nil {
		s.API, s.SOCKS = l.api.Addr().String(), l.socks.Addr().String()
	}
	l.core.View(homeRegion, func(tx *core.Tx) {
		s.ID, s.Account, s.Faults = tx.World.Lab, tx.World.Account, len(tx.World.Faults)
		for name, r := range tx.World.Regions {
			for _, i := range r.Instances {
				if i.State != "terminated" {
					s.Machines = append(s.Machines, Machine{ID: i.ID, Region: name, State: i.State, Image: i.ImageID, Private: i.PrivateIP, Public: i.PublicIP, Group: i.Group, Name: i.Tags["Name"]})
				}
			}
			for _, st := range r.Stacks {
				if st.Status != "DELETE_COMPLETE" {
					s.Stacks = append(s.Stacks, Stack{Name: st.Name, Region: name, Status: st.Status})
				}
			}
			for _, img := range r.Images {
				if img.Owner == tx.World.Account {
					s.Images++
				}
			}
		}
	})
	sort.Slice(s.Machines, func(i, j int) bool { return s.Machines[i].ID < s.Machines[j].ID })
	sort.Slice(s.Stacks, func(i, j int) bool {
		return s.Stacks[i].Region+s.Stacks[i].Name < s.Stacks[j].Region+s.Stacks[j].Name
	})
	return s
}

func (l *Lab) getStatus(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, l.Status())
}

func (l *Lab) postStop(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusAccepted, map[string]any{"pid": pid()})
	l.stopOnce.Do(func() { close(l.stop) })
}

func (l *Lab) getFaults(w http.ResponseWriter, _ *http.Request) {
	list := []state.Fault{}
	l.core.View(homeRegion, func(tx *core.Tx) {
		for _, f := range tx.World.Faults {
			list = append(list, *f)
		}
	})
	reply(w, http.StatusOK, list)
}

func (l *Lab) postFault(w http.ResponseWriter, r *http.Request) {
	var f state.Fault
	if err := read(w, r, &f); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	id, err := l.Fault(f)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusCreated, map[string]string{"id": id})
}

// postBreak makes a fault of words, as a person says them.
func (l *Lab) postBreak(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Kind  string
		Words []string
	}
	if err := read(w, r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	id, err := l.Break(in.Kind, in.Words...)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusCreated, map[string]string{"id": id})
}

func (l *Lab) deleteFaults(w http.ResponseWriter, r *http.Request) {
	switch err := l.Mend(r.PathValue("id")); {
	case errors.Is(err, errNoFault):
		refuse(w, http.StatusNotFound, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (l *Lab) postImage(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Region, Name, Ref string
		Tags              map[string]string
	}
	if err := read(w, r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !ec2.KnownRegion(in.Region) || in.Ref == "" {
		refuse(w, http.StatusBadRequest, fmt.Errorf("an image needs a known Region, a Name and a Ref of the runtime"))
		return
	}
	id, err := l.AddImage(in.Region, in.Name, in.Ref, in.Tags)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusCreated, map[string]string{"id": id})
}

// getWorld shows everything, for a person who looks for a fault.
func (l *Lab) getWorld(w http.ResponseWriter, _ *http.Request) {
	var b []byte
	var err error
	l.core.View(homeRegion, func(tx *core.Tx) { b, err = json.MarshalIndent(tx.World, "", "  ") })
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n'))
}
