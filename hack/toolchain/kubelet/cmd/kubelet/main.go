// kubelet serves the API with which an API server executes commands in containers, forwards ports to pods and reads logs.
//
// The data plane of the lab starts the containers, and writes their process IDs to its state file. kubectl exec,
// port-forward and logs then work as on a real node. A terminal (kubectl exec -t) is not available.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	idleTimeout     = 4 * time.Hour // as in a kubelet
	creationTimeout = remotecommand.DefaultStreamCreationTimeout
	dialTimeout     = 5 * time.Second
)

// state is the part of the data plane's state file that this program reads.
type state struct {
	Pods map[string]struct { // by namespace/name
		Containers map[string]container
	}
}

// container is a running process of a pod.
type container struct {
	PID, UID, GID int
}

// node has the containers of all nodes of one cluster.
type node struct {
	state string // path of the state file
	logs  string // folder with the output of each container
}

func main() {
	address := flag.String("address", "", "address of the server, host:port")
	state := flag.String("state", "", "state file of the data plane")
	logs := flag.String("logs", "", "folder with the output of each container")
	certificate := flag.String("tls-cert-file", "", "certificate of the server")
	key := flag.String("tls-private-key-file", "", "private key of the server")
	clientCA := flag.String("client-ca-file", "", "CA of the API server's certificate")
	flag.Parse()
	if err := serve(*address, *certificate, *key, *clientCA, &node{state: *state, logs: *logs}); err != nil {
		log.Fatalf("kubelet: %v", err)
	}
}

func serve(address, certificate, key, clientCA string, node *node) error {
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: no certificate; name a file with a CA", clientCA)
	}
	server := http.Server{
		Addr:    address,
		Handler: node.handler(),
		TLSConfig: &tls.Config{
			ClientAuth: tls.RequireAndVerifyClientCert,
			ClientCAs:  clients,
			MinVersion: tls.VersionTLS12,
			// An upgrade to SPDY needs HTTP/1.1.
			NextProtos: []string{"http/1.1"},
		},
	}
	return server.ListenAndServeTLS(certificate, key)
}

// handler returns the paths of a kubelet's API. An API server connects by GET or POST.
func (n *node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", n.serveExec)
	mux.HandleFunc("/portForward/{namespace}/{pod}", n.servePortForward)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.serveLogs)
	return mux
}

func (n *node) serveExec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if options.TTY {
		http.Error(w, "a terminal: the lab has none; omit -t", http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, n, podOf(r), "", r.PathValue("container"), r.URL.Query()["command"], options,
		idleTimeout, creationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (n *node) servePortForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, n, podOf(r), "", options,
		idleTimeout, creationTimeout, portforward.SupportedProtocols)
}

// serveLogs returns the output so far, or its last lines (tailLines).
func (n *node) serveLogs(w http.ResponseWriter, r *http.Request) {
	name := strings.Join([]string{r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")}, "_")
	output, err := os.ReadFile(filepath.Join(n.logs, name+".log"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if count, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil {
		lines := bytes.SplitAfter(output, []byte("\n"))
		if len(lines[len(lines)-1]) == 0 {
			lines = lines[:len(lines)-1]
		}
		output = bytes.Join(lines[max(0, len(lines)-count):], nil)
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(output)
}

// ExecInContainer runs a command in a container until the command exits.
func (n *node) ExecInContainer(ctx context.Context, pod, _, name string, command []string, in io.Reader,
	out, err io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	container, failure := n.find(pod, name)
	if failure != nil {
		return failure
	}
	prefix, failure := container.enter()
	if failure != nil {
		return failure
	}
	process := exec.CommandContext(ctx, prefix[0], append(prefix[1:], command...)...)
	// The command ends with this server. The kernel watches the thread that starts the command, so it must not change.
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if out != nil {
		process.Stdout = out
	}
	if err != nil {
		process.Stderr = err
	}
	if in != nil {
		// Not process.Stdin, because Wait would wait for the end of the client's input after the command's exit.
		pipe, failure := process.StdinPipe()
		if failure != nil {
			return failure
		}
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	failure = process.Run()
	if exit := (*exec.ExitError)(nil); errors.As(failure, &exit) && exit.Exited() {
		return utilexec.CodeExitError{Err: failure, Code: exit.ExitCode()}
	}
	return failure
}

// PortForward copies data between a stream and a port of a pod, until one side ends.
func (n *node) PortForward(ctx context.Context, pod, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	container, err := n.find(pod, "")
	if err != nil {
		return err
	}
	connection, err := dialInNamespace(fmt.Sprintf("/proc/%d/ns/net", container.PID), fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	ended := make(chan struct{}, 2)
	go func() {
		io.Copy(connection, stream)
		connection.(*net.TCPConn).CloseWrite()
		ended <- struct{}{}
	}()
	go func() {
		io.Copy(stream, connection)
		stream.Close()
		ended <- struct{}{}
	}()
	// After the client's last byte, the pod's answer is still copied.
	for range 2 {
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// dialInNamespace connects to an address inside a network namespace.
func dialInNamespace(path, address string) (net.Conn, error) {
	type result struct {
		connection net.Conn
		err        error
	}
	results := make(chan result)
	go func() {
		// The thread is never unlocked, so that it ends with the goroutine and serves no other one.
		runtime.LockOSThread()
		connection, err := func() (net.Conn, error) {
			namespace, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer namespace.Close()
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return net.DialTimeout("tcp4", address, dialTimeout)
		}()
		results <- result{connection, err}
	}()
	dialed := <-results
	return dialed.connection, dialed.err
}

// find returns a running container; without a name, any container of the pod.
func (n *node) find(pod, name string) (container, error) {
	content, err := os.ReadFile(n.state)
	if err != nil {
		return container{}, err
	}
	var state state
	if err := json.Unmarshal(content, &state); err != nil {
		return container{}, fmt.Errorf("%s: %w", n.state, err)
	}
	for each, found := range state.Pods[pod].Containers {
		if (each == name || name == "") && found.PID > 0 {
			return found, nil
		}
	}
	return container{}, fmt.Errorf("%s/%s: no such running container on this node", pod, name)
}

// enter returns the arguments that run a command in the container, with the environment of its process.
func (c container) enter() ([]string, error) {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.PID))
	if err != nil {
		return nil, err
	}
	prefix := []string{"nsenter", fmt.Sprintf("--target=%d", c.PID), "--net", "--pid", "--mount", "--uts", "--root",
		"--wd", "/usr/bin/env", "-i"}
	prefix = append(prefix, strings.FieldsFunc(string(environment), func(r rune) bool { return r == 0 })...)
	return append(prefix, "setpriv", fmt.Sprintf("--reuid=%d", c.UID), fmt.Sprintf("--regid=%d", c.GID),
		"--clear-groups", "--pdeathsig=KILL", "--"), nil
}

// podOf returns namespace and name of the request's pod, as in the paths of descriptions.
func podOf(r *http.Request) string {
	return strings.Join([]string{r.PathValue("namespace"), r.PathValue("pod")}, "/")
}
