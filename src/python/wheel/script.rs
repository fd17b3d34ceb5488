//! The text of scripts.

/// How a script begins whose interpreter is to be filled in.
pub const MARK: &[u8] = b"#!python";

/// The longest first line that every kernel reads in full, with `#!` and its end.
const MAX_SHEBANG: usize = 127;

/// The first line that makes `interpreter` run a Python script. Where the kernel could not read it, `sh` starts the
/// interpreter, which takes those lines for a string.
///
/// # Spec
/// distlib's `ScriptMaker._build_shebang`, which pip uses.
pub fn shebang(interpreter: &str) -> String {
    if !interpreter.contains(' ') && interpreter.len() + 3 <= MAX_SHEBANG {
        return format!("#!{interpreter}\n");
    }
    // distlib's `enquote_executable`.
    let quoted = if interpreter.contains(' ') {
        format!("\"{interpreter}\"")
    } else {
        interpreter.to_owned()
    };
    format!("#!/bin/sh\n'''exec' {quoted} \"$0\" \"$@\"\n' '''\n")
}

/// The script of an entry point, byte for byte as pip 23 writes it.
pub fn entry_point(interpreter: &str, module: &str, function: &str) -> String {
    let import = function.split('.').next().unwrap_or_default();
    format!(
        "{}# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom {module} import {import}\n\
         if __name__ == '__main__':\n    \
         sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    \
         sys.exit({function}())\n",
        shebang(interpreter)
    )
}

/// `script`, which begins with [`MARK`], with another first line.
pub fn with_interpreter(script: &[u8], interpreter: &str) -> Vec<u8> {
    let end = script.iter().position(|byte| *byte == b'\n');
    let rest = end.map_or(&[][..], |end| &script[end + 1..]);
    [shebang(interpreter).as_bytes(), rest].concat()
}
