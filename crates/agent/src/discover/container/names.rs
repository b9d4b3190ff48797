//! What the marks of a container say about its name.

use super::Container;
use crate::semconv;

/// Where Kubernetes puts the name of a pod's namespace, in a container that may use its API.
pub(super) const NAMESPACE_FILE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Digits of a container's id that runtimes make its host name of.
const SHORT_ID: usize = 12;
/// Longest host name. That of a pod is cut to it, and may not be the pod's name then.
const HOSTNAME_MAX: usize = 63;
/// Longest name of anything.
const NAME_MAX: usize = 253;
/// What the random ends of Kubernetes' names are made of: no vowels, and no digits that look like them.
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";

/// What can be read of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) container_id: String,
    /// Of its own; `None` where it has the host's.
    pub(super) hostname: Option<String>,
    /// What its network calls it.
    pub(super) domain_name: Option<String>,
    pub(super) pod_uid: Option<String>,
    /// As its environment says.
    pub(super) pod_name: Option<String>,
    pub(super) pod_namespace: Option<String>,
}

impl Evidence {
    pub(super) fn judge(&self) -> Container {
        if self.pod_uid.is_some() { self.pod() } else { self.plain() }
    }

    /// A container of Kubernetes is called after what made its pod: replicas are one service.
    fn pod(&self) -> Container {
        let hostname = self.hostname.as_deref().filter(|name| name.len() < HOSTNAME_MAX);
        let pod = self.pod_name.as_deref().or(hostname).map(str::trim).filter(|name| is_name(name));
        let namespace = self.pod_namespace.as_deref().map(str::trim).filter(|name| is_name(name));
        let owner = pod.map(owner);
        let pairs = [
            (semconv::K8S_POD_UID, self.pod_uid.as_deref()),
            (semconv::K8S_POD_NAME, pod),
            (semconv::K8S_NAMESPACE_NAME, namespace),
            (
                semconv::K8S_DEPLOYMENT_NAME,
                owner.and_then(|(name, is_deployment)| is_deployment.then_some(name)),
            ),
        ];
        Container {
            service_name: owner.map(|(name, _)| name.to_owned()),
            service_namespace: namespace.map(str::to_owned),
            attributes: pairs.into_iter().filter_map(|(key, value)| Some((key, value?.to_owned()))).collect(),
        }
    }

    /// Any other is called by its host name if somebody gave it one, or as its network calls it.
    fn plain(&self) -> Container {
        let hostname = self.hostname.as_deref().filter(|name| is_name(name) && !self.is_made_up(name));
        let service_name = match hostname {
            Some(name) => Some(name.to_owned()),
            None => self.domain_name.as_deref().and_then(container_name),
        };
        Container { service_name, ..Container::default() }
    }

    fn is_made_up(&self, hostname: &str) -> bool {
        let is_short_id = hostname.len() == SHORT_ID
            && hostname.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_short_id || self.container_id == hostname || hostname.starts_with("localhost")
    }
}

/// The container's name in what Docker's name server answers: `NAME.NETWORK`. Docker Compose makes it of the project,
/// the service and a number, and the network's of the project too; the service is meant then.
fn container_name(domain: &str) -> Option<String> {
    let (name, network) = domain.trim_end_matches('.').split_once('.')?;
    let of_project = |project: &str| {
        let (service, number) = name.strip_prefix(project)?.strip_prefix('-')?.rsplit_once('-')?;
        (is_number(number) && is_name(service)).then_some(service)
    };
    let of_compose = network.match_indices('_').find_map(|(end, _)| of_project(&network[..end]));
    let name = of_compose.unwrap_or(name);
    let is_made_up = name.len() == SHORT_ID && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_name(name) && !is_made_up).then(|| name.to_owned())
}

/// What a pod's name says of its maker, and whether that is a deployment: `NAME-HASH-xxxxx`. A replica of a stateful set
/// is `NAME-0`, one of a daemon set or a job `NAME-xxxxx`.
fn owner(pod: &str) -> (&str, bool) {
    let is_random = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.chars().all(|c| RANDOM.contains(c))
    };
    let Some((made, last)) = pod.rsplit_once('-').filter(|(made, _)| !made.is_empty()) else {
        return (pod, false);
    };
    match made.rsplit_once('-') {
        Some((deployment, hash))
            if !deployment.is_empty() && is_random(last, 5..=5) && is_random(hash, 8..=10) =>
        {
            (deployment, true)
        }
        _ if is_number(last) || (is_random(last, 5..=5) && last.contains(|c: char| c.is_ascii_digit())) => {
            (made, false)
        }
        _ => (pod, false),
    }
}

fn is_number(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it can be a name: a container may say anything about itself.
fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(hostname: &str, domain: &str) -> Option<String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let container_id = "0123456789ab".repeat(6)[..64].to_owned();
        let evidence = Evidence {
            container_id,
            hostname: some(hostname),
            domain_name: some(domain),
            ..Evidence::default()
        };
        evidence.judge().service_name
    }

    #[test]
    fn a_host_name_that_somebody_gave_comes_before_the_networks() {
        for (hostname, domain, expected) in [
            ("shop", "other.shop-network", Some("shop")),
            ("0123456789ab", "ebpf-frontend.tinyolly-network", Some("ebpf-frontend")),
            ("", "ebpf-frontend.tinyolly-network.", Some("ebpf-frontend")),
            ("localhost.localdomain", "", None),
            ("0123456789ab", "", None),
            ("a name", "", None),
            ("\u{1b}[31m", "", None),
            ("", "no-network", None),
        ] {
            assert_eq!(named(hostname, domain).as_deref(), expected, "{hostname:?} {domain:?}");
        }
    }

    #[test]
    fn replicas_of_compose_are_one_service() {
        for (domain, expected) in [
            ("store-shop-1.store_default", "shop"),
            ("store-web-shop-12.store_back_end", "web-shop"),
            ("my_store-web-shop-12.my_store_default", "web-shop"),
            ("store-shop-1.other_default", "store-shop-1"),
            ("store-shop-x.store_default", "store-shop-x"),
            ("shop.store_default", "shop"),
        ] {
            assert_eq!(container_name(domain).as_deref(), Some(expected), "{domain}");
        }
    }

    #[test]
    fn a_pod_is_named_after_what_made_it() {
        for (pod, expected) in [
            ("shop-5d4f8c7b9d-x2x9z", ("shop", true)),
            ("web-shop-6b474476c4-bcdfg", ("web-shop", true)),
            ("db-0", ("db", false)),
            ("node-agent-x7k2p", ("node-agent", false)),
            ("shop", ("shop", false)),
            ("web-front", ("web-front", false)),
            ("-0", ("-0", false)),
        ] {
            assert_eq!(owner(pod), expected, "{pod}");
        }
    }

    #[test]
    fn a_pod_says_where_it_belongs() {
        let evidence = Evidence {
            hostname: Some("shop-5d4f8c7b9d-x2x9z".to_owned()),
            pod_uid: Some("6f1e".to_owned()),
            pod_namespace: Some("store\n".to_owned()),
            ..Evidence::default()
        };
        let container = evidence.judge();
        assert_eq!(container.service_name.as_deref(), Some("shop"));
        assert_eq!(container.service_namespace.as_deref(), Some("store"));
        let pairs: Vec<_> = container.attributes.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("k8s.pod.uid", "6f1e"),
                ("k8s.pod.name", "shop-5d4f8c7b9d-x2x9z"),
                ("k8s.namespace.name", "store"),
                ("k8s.deployment.name", "shop"),
            ]
        );
        let told = Evidence { pod_name: Some("db-0".to_owned()), ..evidence.clone() }.judge();
        assert_eq!(told.service_name.as_deref(), Some("db"), "the environment knows best");
        let cut = Evidence { hostname: Some("x".repeat(HOSTNAME_MAX)), ..evidence }.judge();
        assert_eq!(cut.service_name, None, "the name may go on");
    }
}
