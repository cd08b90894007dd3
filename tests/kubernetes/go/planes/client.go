package planes

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// The few requests that starting needs are made by hand: a client library would pull its cost into every start.
var (
	plain = &http.Client{}
	// The health ports of controller manager and scheduler show certificates that they made for themselves.
	unverified = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
)

// client speaks to the control plane's API server as its administrator.
func (p *plane) client() (*http.Client, error) {
	certificate, err := tls.X509KeyPair(p.admin.certificate, p.admin.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.authority.certificate)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
	}}, nil
}

// get succeeds when the answer is 200.
func get(ctx context.Context, client *http.Client, url string) error {
	_, err := request(ctx, client, http.MethodGet, url, nil)
	return err
}

func request(ctx context.Context, client *http.Client, method, url string, body any) ([]byte, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		if len(text) > 300 {
			text = text[:300]
		}
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, bytes.TrimSpace(text))
	}
	return text, nil
}
