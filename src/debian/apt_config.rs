//! A few settings out of a host's apt configuration.

/// The proxies that a host's apt is told to use, out of the text of its configuration files: names and values, in the
/// order of the text, where a later one wins. Only settings written on a line of their own
/// (`Acquire::http::Proxy "http://proxy.example:3142";`, also for one host only) are found, not those in braces.
///
/// # Spec
/// apt.conf(5); apt-transport-http(1), *Configuring proxies*.
pub fn apt_proxies(text: &str) -> Vec<(String, String)> {
    text.lines().filter_map(proxy).collect()
}

fn proxy(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.trim().split_once(char::is_whitespace)?;
    let value = rest.trim_start().strip_prefix('"')?;
    let (value, end) = value.split_once('"')?;
    let lower = name.to_ascii_lowercase();
    let is_proxy = ["http", "https"].into_iter().any(|scheme| {
        lower
            .strip_prefix(&format!("acquire::{scheme}::proxy"))
            .is_some_and(|host| host.is_empty() || host.starts_with("::"))
    });
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":.-".contains(c);
    let is_sound = name.chars().all(is_plain)
        && end.trim_start().starts_with(';')
        && !value.chars().any(|c| c.is_control() || c == '\\');
    (is_proxy && is_sound).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_found_and_nothing_else() {
        let text = "Acquire::http::Proxy \"http://p.example:3142\";\n\
            // Acquire::http::Proxy \"http://no.example\";\n\
            #Acquire::https::Proxy \"http://no.example\";\n  \
            acquire::https::proxy::inner.example  \"DIRECT\" ; // why\n\
            Acquire::http::Proxy-Auto-Detect \"/usr/bin/x\";\n\
            Acquire::http::Proxy http://bare.example;\n\
            Acquire::ftp::Proxy \"ftp://no.example\";\n\
            Acquire::http::Timeout \"10\";\n\
            DPkg::Post-Invoke { \"rm -rf /\"; };\n\
            Acquire::http::Proxy \"unfinished\n";
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(
            apt_proxies(text),
            [
                own(("Acquire::http::Proxy", "http://p.example:3142")),
                own(("acquire::https::proxy::inner.example", "DIRECT")),
            ]
        );
    }
}
