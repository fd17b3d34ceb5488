//! The values of environment markers.

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use crate::image::Platform;

/// The architecture of a platform as the kernel and Python's `platform.machine()` call it; `None` for one that Linux does
/// not have, and for other systems.
///
/// # Spec
/// OCI image-spec `image-index.md` (Go's `GOARCH`); uname(2).
pub fn machine(platform: &Platform) -> Option<&'static str> {
    if platform.os != "linux" {
        return None;
    }
    Some(
        match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("amd64", _) => "x86_64",
            ("arm64", _) => "aarch64",
            ("386", _) => "i686",
            ("arm", None | Some("v7")) => "armv7l",
            ("arm", Some("v8")) => "armv8l",
            ("arm", Some("v6")) => "armv6l",
            ("arm", Some("v5")) => "armv5tel",
            ("ppc64le", _) => "ppc64le",
            ("s390x", _) => "s390x",
            ("riscv64", _) => "riscv64",
            ("loong64", _) => "loongarch64",
            _ => return None,
        },
    )
}

/// The markers of CPython of a version on Linux. `platform_release` and `platform_version`, which are the kernel's that
/// the application will run on, are empty. `None` when the version has no two numbers.
///
/// # Spec
/// PEP 508, *Environment Markers*.
pub fn marker_environment(version: &Version, architecture: &str) -> Option<MarkerEnvironment> {
    let [major, minor, ..] = *version.release() else {
        return None;
    };
    let full = version.to_string();
    let values = MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name: "posix",
        platform_machine: architecture,
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: &full,
        python_version: &format!("{major}.{minor}"),
        sys_platform: "linux",
    };
    MarkerEnvironment::try_from(values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_those_of_the_target_and_not_of_this_machine() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let table = [
            ("linux/amd64", Some("x86_64")),
            ("linux/arm64/v8", Some("aarch64")),
            ("linux/arm/v7", Some("armv7l")),
            ("linux/arm/v6", Some("armv6l")),
            ("linux/386", Some("i686")),
            ("linux/mips", None),
            ("windows/amd64", None),
        ];
        for (text, expected) in table {
            assert_eq!(machine(&platform(text)), expected, "{text}");
        }
        let environment = marker_environment(&"3.14.0".parse().unwrap(), "s390x").unwrap();
        let holds = |text: &str| {
            pep508_rs::MarkerTree::parse_str::<reqwest::Url>(text)
                .unwrap()
                .evaluate(&environment, &[])
        };
        assert!(holds(
            "python_version == '3.14' and python_full_version < '3.14.1'"
        ));
        assert!(holds(
            "platform_machine == 's390x' and os_name == 'posix' and platform_release == ''"
        ));
        assert!(!holds(
            "sys_platform == 'win32' or implementation_name == 'pypy'"
        ));
    }
}
