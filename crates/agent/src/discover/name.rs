//! What a service is called.

/// Name of a program from its executable and arguments: the executable's name, or for an interpreter the script,
/// module or archive that it runs.
pub fn program_name(exe_path: &str, args: &[String]) -> String {
    let exe = base_name(exe_path);
    let exe = if exe.is_empty() { args.first().map_or("", |arg| base_name(arg)) } else { exe };
    let rest = args.get(1..).unwrap_or_default();
    let interpreted = match interpreter(exe) {
        Some(Interpreter::Python) => python(rest),
        Some(Interpreter::Node) => {
            script(rest, &["-r", "--require", "--import", "--loader", "-C", "--conditions"])
        }
        Some(Interpreter::Java) => java(rest),
        Some(Interpreter::Php) => php(rest),
        Some(Interpreter::Ruby) => script(rest, &["-I", "-r"]),
        None => None,
    };
    interpreted.unwrap_or_else(|| if exe.is_empty() { "unknown".to_owned() } else { exe.to_owned() })
}

enum Interpreter {
    Python,
    Node,
    Java,
    Php,
    Ruby,
}

fn interpreter(exe: &str) -> Option<Interpreter> {
    // python3.11, php8.2, ruby3.1, nodejs
    let plain = exe.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match plain {
        "python" | "pypy" => Some(Interpreter::Python),
        "node" | "nodejs" => Some(Interpreter::Node),
        "java" => Some(Interpreter::Java),
        "php" | "php-cgi" => Some(Interpreter::Php),
        "ruby" => Some(Interpreter::Ruby),
        _ => None,
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// File name without its extension.
fn stem(path: &str) -> Option<String> {
    let name = base_name(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    (!stem.is_empty()).then(|| stem.to_owned())
}

/// The first argument that is no option, given the options that take a value of their own.
fn script(args: &[String], with_value: &[&str]) -> Option<String> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if with_value.contains(&arg.as_str()) {
            args.next();
        } else if !arg.starts_with('-') {
            return stem(arg);
        }
    }
    None
}

fn python(args: &[String]) -> Option<String> {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-m" => return rest.next().cloned(),
            "-c" => return None,
            "-W" | "-X" => {
                rest.next();
            }
            _ if arg.starts_with("-m") && !arg.starts_with("--") => return Some(arg[2..].to_owned()),
            _ if arg.starts_with('-') => {}
            // `/app/shop/__main__.py` is the package `shop`.
            _ if base_name(arg) == "__main__.py" => return arg.rsplit('/').nth(1).map(str::to_owned),
            _ => return stem(arg),
        }
    }
    None
}

fn java(args: &[String]) -> Option<String> {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-jar" => return rest.next().and_then(|jar| stem(jar)),
            "-cp" | "-classpath" | "--class-path" | "-p" | "--module-path" | "--add-modules" => {
                rest.next();
            }
            "-m" | "--module" => {
                // module/main.Class
                return rest
                    .next()
                    .map(|module| module.rsplit(['/', '.']).next().unwrap_or(module).to_owned());
            }
            _ if arg.starts_with('-') || arg.starts_with('@') => {}
            _ if arg.ends_with(".java") => return stem(arg),
            // A main class: its simple name.
            _ => return arg.rsplit('.').next().map(str::to_owned),
        }
    }
    None
}

fn php(args: &[String]) -> Option<String> {
    script(args, &["-S", "-t", "-d", "-c", "-z"])
}

/// A list of `key=value` pairs as `OTEL_RESOURCE_ATTRIBUTES` has them, values percent-decoded. Malformed pairs are left
/// out.
pub fn resource_attributes(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim();
            (!key.is_empty()).then(|| (key.to_owned(), percent_decode(value.trim())))
        })
        .collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_by_what_they_run() {
        for (exe, args, expected) in [
            ("/usr/sbin/nginx", "nginx -g daemon_off;", "nginx"),
            ("/usr/bin/python3.11", "python3 -m http.server 8000", "http.server"),
            ("/usr/bin/python3.11", "python3 -u -X dev /srv/shop.py --port 1", "shop"),
            ("/usr/bin/python3.11", "python3 /srv/shop/__main__.py", "shop"),
            ("/usr/bin/python3.11", "python3 -c pass", "python3.11"),
            ("/usr/bin/node", "node --require ./trace.js /app/server.mjs", "server"),
            ("/usr/bin/node", "node", "node"),
            ("/usr/lib/jvm/bin/java", "java -Xmx1g -jar /opt/orders-1.2.jar", "orders-1.2"),
            ("/usr/lib/jvm/bin/java", "java -cp a:b org.example.Orders x", "Orders"),
            ("/usr/bin/php8.2", "php -S 127.0.0.1:8000 router.php", "router"),
            ("/usr/bin/php8.2", "php -S 127.0.0.1:8000 -t /srv", "php8.2"),
            ("", "/opt/thing --x", "thing"),
            ("", "", "unknown"),
        ] {
            let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
            assert_eq!(program_name(exe, &args), expected, "{exe} {args:?}");
        }
    }

    #[test]
    fn resource_attributes_are_decoded() {
        let pairs = resource_attributes("service.name=shop%20one, team = a%2Cb,=x,broken,k=100%");
        let expected = [("service.name", "shop one"), ("team", "a,b"), ("k", "100%")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
