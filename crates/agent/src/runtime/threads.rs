//! What links can be expected of programs without a runtime whose tasks can be followed, for the log.

/// How a program works off requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadModel {
    /// What it is.
    pub name: &'static str,
    /// Evidence by which its calls are linked to the requests that it serves.
    pub links: &'static str,
    /// What is missing for more.
    pub lacks: &'static str,
}

/// What a program works like, by the name of its executable: a promise to nobody, the evidence decides in each case.
pub fn model(exe_path: &str) -> ThreadModel {
    let exe = exe_path.rsplit('/').next().unwrap_or(exe_path);
    let exe = exe.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    match exe {
        "node" | "nodejs" | "deno" | "bun" => ThreadModel {
            name: "event loop",
            links: "sole",
            lacks: "one thread serves all requests, and which of them a callback belongs to is not known",
        },
        "nginx" | "haproxy" | "envoy" | "caddy" | "traefik" => ThreadModel {
            name: "event loop",
            links: "sole, or header where the request carries one",
            lacks: "one thread serves many requests",
        },
        "python" | "pypy" => ThreadModel {
            name: "Python",
            links: "thread where a thread waits for its request, else sole",
            lacks: "tasks of asyncio are not known",
        },
        "java" => ThreadModel {
            name: "Java",
            links: "thread where a thread waits for its request, else sole",
            lacks: "work that is handed to other threads is not followed",
        },
        _ => ThreadModel {
            name: "threads",
            links: "thread where a thread waits for its request, else sole",
            lacks: "no runtime whose tasks can be followed",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart_by_their_names() {
        for (exe, expected) in [
            ("/usr/bin/python3.11", "Python"),
            ("/usr/bin/node", "event loop"),
            ("/usr/sbin/nginx", "event loop"),
            ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "Java"),
            ("/opt/shop", "threads"),
            ("", "threads"),
        ] {
            assert_eq!(model(exe).name, expected, "{exe}");
        }
    }
}
