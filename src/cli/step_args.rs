//! Flags about the steps of a build: how they are kept apart, and what they get.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::args;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use crate::build::Injection;
use crate::build::inputs::{SecretInput, StepInputs, Volume, host_entry, inner_path};
use crate::sandbox::{Capability, Limits, Network};

/// More than this is no secret but data; a volume is for that.
const LARGEST_SECRET: u64 = 4 << 20;

/// What a step gets beside its source.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct StepArgs {
    /// Show a secret to the scripts as the file `/run/secrets/NAME`; may be repeated
    ///
    /// `id=NAME,src=FILE` takes a file, `id=NAME,env=VAR` a variable of this shell. The file is in memory, belongs to the
    /// scripts' user, and is never in a layer, in the image's history or in a log: lines that show it are masked.
    #[arg(long = "secret", value_name = "id=NAME,src=FILE|env=VAR")]
    secrets: Vec<String>,

    /// Show a directory or file of this machine to the scripts; may be repeated
    #[arg(long = "volume", value_name = "HOST:PATH[:ro]")]
    volumes: Vec<Volume>,

    /// Keep the directory PATH of the scripts between builds, and out of the image; may be repeated
    ///
    /// pip's cache is kept without being asked for.
    #[arg(long = "cache-mount", value_name = "PATH", value_parser = inner_path)]
    cache_mounts: Vec<String>,

    /// Show files of this machine to the scripts among the image's, and in no layer; several with `;`; may be repeated
    ///
    /// Every file below SRC is at DST while `assemble` runs. DST is absolute or below the image's working directory.
    #[arg(short, long = "inject", value_name = "SRC[:DST]")]
    injections: Vec<Injections>,

    /// Tell the scripts the address of a host; may be repeated
    #[arg(long = "add-host", value_name = "NAME:IP", value_parser = host_entry)]
    hosts: Vec<(String, String)>,

    /// Take a capability from scripts that are root, or `all`; may be repeated
    #[arg(long = "cap-drop", value_name = "NAME", value_parser = Capability::parse_list)]
    dropped: Vec<Vec<Capability>>,

    /// Let the scripts use this shell's SSH agent (`SSH_AUTH_SOCK`)
    #[arg(long)]
    ssh: bool,

    /// The network of the scripts: `host`, or `none` for a loopback interface and nothing else
    ///
    /// What s2i's engine has beside these (`bridge`, `default`, `container:ID`, `netns:PATH`) means `host` here.
    #[arg(long, value_name = "WHICH", default_value = "host")]
    network: NetworkArg,

    /// End the scripts when they use more memory: bytes, or with `k`, `m`, `g`
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,

    /// Give the scripts so many processors, such as `1.5`
    #[arg(long, value_name = "N", value_parser = processors)]
    cpus: Option<f64>,

    /// End the build when `assemble` takes longer: seconds, or `10m`, `1h 30m`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    assemble_timeout: Option<Duration>,
}

/// A network by its name, and what is different of it here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NetworkArg((Network, Option<String>));

impl FromStr for NetworkArg {
    type Err = String;

    /// # Spec
    /// `s2i-compat.md` §1.6, the validation list; cases 164 and 165.
    fn from_str(text: &str) -> Result<Self, String> {
        let has_more = |kind: &str| text.strip_prefix(kind).is_some_and(|rest| !rest.is_empty());
        let is_known = matches!(text, "" | "none" | "host" | "bridge" | "default");
        match is_known || has_more("container:") || has_more("netns:") {
            true => Ok(Self(Network::of_s2i(text))),
            false => Err(
                "expected `host` or `none`; s2i's `bridge`, `container:ID` and `netns:PATH` mean `host`".to_owned(),
            ),
        }
    }
}

impl StepArgs {
    /// What is worth knowing of the flags.
    pub(super) fn note(&self) -> Option<&str> {
        self.network.0.1.as_deref()
    }

    /// Reads what the flags name.
    ///
    /// # Errors
    /// A message for each thing that is not there.
    pub(super) fn read(&self) -> Result<StepInputs, Diagnostic> {
        let secrets = self
            .secrets
            .iter()
            .map(|text| secret(text))
            .collect::<Result<_, _>>()?;
        let secrets: Vec<SecretInput> = secrets;
        for (index, secret) in secrets.iter().enumerate() {
            if secrets[..index].iter().any(|other| other.id == secret.id) {
                let text = format!("the secret `{}` is given twice", secret.id);
                return Err(Diagnostic::new(Code::Usage, text));
            }
        }
        let volumes = self.volumes.iter().map(volume).collect::<Result<_, _>>()?;
        let injections = self.injections.iter().flat_map(|list| &list.0);
        let injections = injections.map(injection);
        let agent = match self.ssh {
            false => None,
            true => Some(agent()?),
        };
        Ok(StepInputs {
            secrets,
            volumes,
            cache_mounts: self.cache_mounts.clone(),
            agent,
            network: self.network.0.0,
            limits: Limits {
                memory: self.memory,
                cpus: self.cpus,
            },
            timeout: self.assemble_timeout,
            cache_scope: None,
            injections: injections.collect::<Result<_, _>>()?,
            hosts: self.hosts.clone(),
            dropped_capabilities: self.dropped.concat(),
        })
    }
}

/// The value of `--inject`: one or several.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Injections(Vec<Injection>);

impl FromStr for Injections {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Injection::parse_list(text).map(Self)
    }
}

/// # Errors
/// When nothing is there.
fn injection(injection: &Injection) -> Result<Injection, Diagnostic> {
    match std::fs::metadata(&injection.source) {
        Ok(_) => Ok(injection.clone()),
        Err(error) => {
            let path = injection.source.clone();
            let error = crate::fs::Error::new("inject", path, error);
            Err(Diagnostic::new(Code::Usage, error)
                .hint("`--inject SRC[:DST]` names a file or directory of this machine"))
        }
    }
}

fn secret(text: &str) -> Result<SecretInput, Diagnostic> {
    let usage = |reason: String| {
        Diagnostic::new(Code::Usage, format!("`--secret {text}`: {reason}"))
            .hint("write `--secret id=NAME,src=FILE` or `--secret id=NAME,env=VAR`")
    };
    let (mut id, mut file, mut variable) = (None, None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => file = Some(PathBuf::from(value)),
            Some(("env", value)) => variable = Some(value.to_owned()),
            _ => return Err(usage(format!("`{part}` is not understood"))),
        }
    }
    let id = id.ok_or_else(|| usage("it has no `id`".to_owned()))?;
    if !SecretInput::is_id(&id) {
        return Err(usage(format!(
            "`{id}` is no name for a file: letters, digits, `.`, `_` and `-`, not starting with a dot"
        )));
    }
    let content = match (file, variable) {
        (Some(file), None) => crate::fs::read_limited(&file, LARGEST_SECRET).map_err(|error| {
            Diagnostic::new(
                Code::Usage,
                format!("cannot read the secret `{id}`: {error}"),
            )
        })?,
        (None, Some(name)) => std::env::var_os(&name)
            .map(std::os::unix::ffi::OsStringExt::into_vec)
            .ok_or_else(|| {
                Diagnostic::new(
                    Code::Usage,
                    format!("cannot read the secret `{id}`: the variable `{name}` is not set"),
                )
            })?,
        _ => return Err(usage("it needs either `src=FILE` or `env=VAR`".to_owned())),
    };
    Ok(SecretInput { id, content })
}

fn volume(volume: &Volume) -> Result<Volume, Diagnostic> {
    let source = std::fs::canonicalize(&volume.source).map_err(|error| {
        let path = volume.source.clone();
        Diagnostic::new(
            Code::Usage,
            crate::fs::Error::new("use the volume", path, error),
        )
    })?;
    Ok(Volume {
        source,
        ..volume.clone()
    })
}

fn agent() -> Result<PathBuf, Diagnostic> {
    std::env::var_os("SSH_AUTH_SOCK")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| {
            Diagnostic::new(
                Code::Usage,
                "`--ssh` needs an SSH agent, and SSH_AUTH_SOCK is not set",
            )
            .hint("start one: `eval $(ssh-agent) && ssh-add`")
        })
}

fn size(text: &str) -> Result<u64, String> {
    match args::bytes(text)? {
        0..0x40_0000 => Err("a step needs 4m at least".to_owned()),
        bytes => Ok(bytes),
    }
}

fn processors(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0, such as 1.5".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = args::duration(text)?;
    if duration.is_zero() {
        return Err("a step needs some time".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 164 and 165, as far as they are about networks.
    #[test]
    fn networks_are_ours_or_those_of_an_engine() {
        let network = |text: &str| text.parse::<NetworkArg>().map(|found| found.0);
        assert_eq!(network("none"), Ok((Network::None, None)));
        assert_eq!(network("host"), Ok((Network::Host, None)));
        for other in ["bridge", "container:0a1b", "netns:/proc/1/ns/net"] {
            let (network, note) = network(other).unwrap();
            assert_eq!(network, Network::Host);
            assert!(note.unwrap().contains(other));
        }
        for wrong in ["foobar", "container:", "netns:", "Host"] {
            assert!(wrong.parse::<NetworkArg>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_times_are_read() {
        assert_eq!(size("512m"), Ok(512 << 20));
        assert_eq!(size("1.5G"), Ok(3 << 29));
        assert_eq!(size("8388608"), Ok(8 << 20));
        for wrong in ["", "m", "12x", "1k", "-1g", "nan"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "0", "0s", "soon", "-1"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(processors("0").is_err() && processors("x").is_err());
        assert_eq!(processors("1.5"), Ok(1.5));
    }
}
