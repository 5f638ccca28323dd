"""Data plane of the lab: its pods as processes in network namespaces, behind Linkerd's real proxies.

`$LAB_DATAPLANE` names folders with Linkerd's programs (docs/lab.md). Each cluster has one process, `python -m
hack.lab.dataplane`, which acts as the kubelet of all its nodes, as the cluster's DNS, and as the network plugin. No
namespace has a name and nothing is mounted outside of one: the kernel deletes all of it with the last process, and no
process outlives the lab's supervisor, even after `kill -9`.
"""
