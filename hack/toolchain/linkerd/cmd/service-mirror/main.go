// service-mirror is Linkerd's own service-mirror controller with one addition for the lab: if LAB_DNS_ADDRESS (host:port)
// is set, this DNS server resolves host names, such as those of load balancers.
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
