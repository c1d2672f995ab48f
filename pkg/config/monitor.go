package config

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"
)

// Monitor is who is told what, and how an environment is known to be watched.
type Monitor struct {
	Page    []string // mail addresses and https URLs: what wakes somebody
	Tickets []string // likewise: everything else
	Runbook string   // URL, "" for none
	// Drill is how long a fire drill counts, 30 days unless told.
	Drill time.Duration
	// ImageAge and BackupAge are how old the image that runs and the database's newest
	// snapshot may get before a ticket says so; 30 days and 26 hours unless told.
	ImageAge, BackupAge time.Duration
}

func (r *reader) monitor(m *node) Monitor {
	out := Monitor{Drill: 30 * 24 * time.Hour, ImageAge: 30 * 24 * time.Hour, BackupAge: 26 * time.Hour}
	if m == nil {
		return out
	}
	for _, l := range []struct {
		key string
		to  *[]string
	}{{"page", &out.Page}, {"tickets", &out.Tickets}} {
		if m.get(l.key) != nil {
			m.list(l.key, l.to, reached)
		}
	}
	m.text("runbook", &out.Runbook, func(s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(s, " ()$") {
			return fmt.Errorf("is %q, not a URL", s)
		}
		return nil
	})
	m.duration("drill", &out.Drill, 365*24*time.Hour)
	m.duration("image_age", &out.ImageAge, 365*24*time.Hour)
	m.duration("backup_age", &out.BackupAge, 365*24*time.Hour)
	m.rest()
	return out
}

// reached refuses what SNS could not reach: it takes mail addresses and https URLs.
func reached(s string) error {
	if a, err := mail.ParseAddress(s); err == nil && a.Address == s {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil:
		return nil
	case err == nil && u.Scheme == "http":
		return fmt.Errorf("is %q: what an alarm says goes by https only", s)
	}
	return fmt.Errorf("is %q, neither a mail address nor an https URL", s)
}
