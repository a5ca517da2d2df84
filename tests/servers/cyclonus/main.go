// Command cyclonus answers, for many sets of network policies at once, which connections they allow: the judge of the
// platform's own evaluator.
//
// What policies, peers and ports mean is cyclonus's to say. What a label selector selects is said by the API server's own
// library: cyclonus has NotIn select no pod without the label.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

type pod struct {
	Namespace   string
	Labels      map[string]string
	Ports       []corev1.ContainerPort
	Address     string
	HostNetwork bool
}

type port struct {
	Number   int
	Protocol corev1.Protocol
}

// set asks about each port from each of the pods and addresses to each of them.
type set struct {
	Namespaces map[string]map[string]string
	Pods       []*pod
	Addresses  []string
	Policies   []*networkingv1.NetworkPolicy
	Ports      []port
}

func main() {
	var sets []*set
	if err := json.NewDecoder(os.Stdin).Decode(&sets); err != nil {
		fatal(err)
	}
	answers := make([]string, len(sets))
	for number, each := range sets {
		answers[number] = each.answer()
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fatal(err)
	}
}

// answer returns 1 for what is allowed and 0 for what is not, by source, target and port.
func (s *set) answer() string {
	s.prepare()
	policy := matcher.BuildNetworkPolicies(false, s.Policies)
	ends := s.Pods
	for _, address := range s.Addresses {
		ends = append(ends, &pod{Address: address, HostNetwork: true})
	}
	var said strings.Builder
	for _, source := range ends {
		for _, target := range ends {
			for _, port := range s.Ports {
				asked := &matcher.Traffic{
					Source: s.peer(source), Destination: s.peer(target), ResolvedPort: port.Number, Protocol: port.Protocol,
				}
				for _, named := range target.Ports {
					if int(named.ContainerPort) == port.Number && named.Protocol == port.Protocol {
						asked.ResolvedPortName = named.Name
					}
				}
				if policy.IsTrafficAllowed(asked).IsAllowed() {
					said.WriteByte('1')
				} else {
					said.WriteByte('0')
				}
			}
		}
	}
	return said.String()
}

// prepare does what the API server does before a policy is used, and has its library decide what each selector selects.
func (s *set) prepare() {
	number := 0
	decide := func(selector *metav1.LabelSelector, candidates ...map[string]string) {
		if selector == nil || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			return
		}
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			fatal(err)
		}
		number++
		key := fmt.Sprintf("decided-%d", number)
		for _, candidate := range candidates {
			if parsed.Matches(labels.Set(candidate)) {
				candidate[key] = "yes"
			}
		}
		*selector = metav1.LabelSelector{MatchLabels: map[string]string{key: "yes"}}
	}
	var pods, namespaces []map[string]string
	for _, each := range s.Pods {
		pods = append(pods, each.Labels)
	}
	for _, each := range s.Namespaces {
		namespaces = append(namespaces, each)
	}
	for _, policy := range s.Policies {
		spec := &policy.Spec
		if len(spec.PolicyTypes) == 0 {
			spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
			if len(spec.Egress) > 0 {
				spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
			}
		}
		decide(&spec.PodSelector, pods...)
		var peers [][]networkingv1.NetworkPolicyPeer
		for _, rule := range spec.Ingress {
			peers = append(peers, rule.From)
		}
		for _, rule := range spec.Egress {
			peers = append(peers, rule.To)
		}
		for _, some := range peers {
			for _, peer := range some {
				decide(peer.PodSelector, pods...)
				decide(peer.NamespaceSelector, namespaces...)
			}
		}
	}
}

// peer returns one end of a connection. A pod in its node's network is an address like any other.
func (s *set) peer(p *pod) *matcher.TrafficPeer {
	if p.HostNetwork {
		return &matcher.TrafficPeer{IP: p.Address}
	}
	inside := &matcher.InternalPeer{
		PodLabels: p.Labels, Namespace: p.Namespace, NamespaceLabels: s.Namespaces[p.Namespace],
	}
	return &matcher.TrafficPeer{Internal: inside, IP: p.Address}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
