// Package credential gives a Temporal client credentials that Assay renews.
//
//	source := &credential.Source{
//		URL:       "https://assay.corp.example",
//		Target:    "prod",
//		TokenFile: "/var/run/secrets/assay/token",
//	}
//	c, err := client.Dial(client.Options{
//		HostPort:    "temporal.corp.example:7233",
//		Namespace:   "payments",
//		Credentials: client.NewAPIKeyDynamicCredentials(source.Token),
//	})
//
// The SDK asks for the credential on every call, so nothing else is needed: no
// goroutine, no reconnect.
package credential

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Source exchanges the platform's token for Temporal credentials.
type Source struct {
	URL       string // the broker
	Target    string // what the credential is for
	TokenFile string // the platform's token, read anew each time
	Client    http.Client

	mu      sync.Mutex
	token   string
	renew   time.Time
	expires time.Time
}

// Token returns a credential with life left. It renews at half of the life; a
// renewal that fails is tried again, and until it works the last good one goes on.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.renew) {
		return s.token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	token, life, err := s.exchange(ctx)
	now := time.Now()
	if err != nil {
		if now.Before(s.expires) {
			s.renew = now.Add(10 * time.Second)
			return s.token, nil
		}
		return "", err
	}
	s.token, s.renew, s.expires = token, now.Add(life/2), now.Add(life)
	return s.token, nil
}

func (s *Source) exchange(ctx context.Context) (string, time.Duration, error) {
	evidence, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", 0, err
	}
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"subject_token":      {strings.TrimSpace(string(evidence))},
		"audience":           {s.Target},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := s.Client.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return "", 0, err
	}
	if answer.StatusCode != http.StatusOK {
		// Says why, by a stable reason; never holds a token.
		return "", 0, fmt.Errorf("assay: %s: %s", answer.Status, body)
	}
	var minted struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &minted); err != nil {
		return "", 0, err
	}
	return minted.AccessToken, time.Duration(minted.ExpiresIn) * time.Second, nil
}
