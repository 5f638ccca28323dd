// service-mirror is Linkerd's own service-mirror controller, with one addition for a machine that plays several
// clusters: where LAB_DNS_ADDRESS is set (host:port), host names, such as a load balancer's, are looked up there.
package main

import (
	"context"
	"net"
	"os"

	servicemirror "github.com/linkerd/linkerd2/multicluster/cmd/service-mirror"
)

func main() {
	if address := os.Getenv("LAB_DNS_ADDRESS"); address != "" {
		net.DefaultResolver = &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, address)
			},
		}
	}
	servicemirror.Main(os.Args[1:])
}
