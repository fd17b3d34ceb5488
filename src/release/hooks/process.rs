//! A hook or another command of the project that runs: its lines, its time, and its end with everything that it has started.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::event::{Event, Observer, Stream, printable};

/// How often waiting looks at the clock and at the person.
const POLL: Duration = Duration::from_millis(20);
/// How long a hook has to tidy up when it is asked to end.
const TIDY: Duration = Duration::from_secs(2);
/// How long output may still come after a hook has ended: something that it left running holds its streams.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// The most bytes of a line; a longer one becomes several.
const MAX_LINE: u64 = 16 << 10;
/// How many lines an error shows.
const TAIL: usize = 10;

/// How a command ended.
#[derive(Debug)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Its time was over: after so long.
    TimedOut(Duration),
    /// The person wanted to stop.
    Interrupted,
}

/// Runs a command without standard input to its end, which is forced when its time is over or the person wants to stop; its last lines.
/// Every line that it prints is told as `step`'s. What it leaves behind is not waited for.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(
    command: &mut Command,
    limit: Option<Duration>,
    step: &str,
    observer: &dyn Observer,
) -> io::Result<(End, Vec<String>)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own, so that all that it starts can be ended with it.
    let mut child = command.process_group(0).spawn()?;
    let _minder = Minder::start(child.id());
    let (sender, lines) = sync_channel(256);
    read(child.stdout.take(), Stream::Out, sender.clone());
    read(child.stderr.take(), Stream::Err, sender);
    let mut output = Output {
        step,
        observer,
        tail: VecDeque::new(),
    };
    // A time beyond what the clock can say is no limit.
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let end = loop {
        if let Some(status) = child.try_wait()? {
            break End::Exited(status);
        }
        if observer.is_cancelled() {
            stop(&mut child, &lines, &mut output);
            break End::Interrupted;
        }
        if let (Some(limit), Some(deadline)) = (limit, deadline)
            && Instant::now() >= deadline
        {
            stop(&mut child, &lines, &mut output);
            break End::TimedOut(limit);
        }
        output.take(&lines, POLL);
    };
    let last = Instant::now() + LAST_OUTPUT;
    while Instant::now() < last && output.take(&lines, POLL) {}
    Ok((end, output.tail.into()))
}

/// What ends the hook and all that it has started when this process is killed, and so cannot: a shell that waits at a pipe
/// whose other end the system closes with us. Without a shell on the machine there is none.
struct Minder(Child);

/// It reads the end of its input only when we are gone: until then nothing is written, and it is ended from here.
const MINDING: &str =
    "read -r line || { kill -s TERM -- \"-$1\"; sleep \"$2\"; kill -s KILL -- \"-$1\"; }";

impl Minder {
    fn start(group: u32) -> Option<Self> {
        let tidy = TIDY.as_secs().to_string();
        let shell = Command::new("/bin/sh")
            .args(["-c", MINDING, "overcoat-minder", &group.to_string(), &tidy])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Whoever kills our group is not to kill what minds it.
            .process_group(0)
            .spawn();
        shell.ok().map(Self)
    }
}

impl Drop for Minder {
    fn drop(&mut self) {
        // Before its input ends: what a hook leaves behind on purpose may go on.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `ended with status 3`.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended badly".to_owned(),
    }
}

struct Output<'a> {
    step: &'a str,
    observer: &'a dyn Observer,
    tail: VecDeque<String>,
}

impl Output<'_> {
    /// Tells the lines that are there, and waits for the first of them; false when there will be none.
    fn take(&mut self, lines: &Receiver<(Stream, String)>, patience: Duration) -> bool {
        let mut next = lines.recv_timeout(patience);
        // A hook that prints without end must not keep us from looking at the clock.
        for _ in 0..256 {
            match next {
                Ok((stream, line)) => self.tell(stream, line),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(patience.min(POLL) / 4);
                    return false;
                }
            }
            next = lines.recv_timeout(Duration::ZERO);
        }
        if let Ok((stream, line)) = next {
            self.tell(stream, line);
        }
        true
    }

    fn tell(&mut self, stream: Stream, line: String) {
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        let step = self.step.to_owned();
        self.observer.observe(Event::Output { step, stream, line });
    }
}

/// Reads a stream line by line until it ends, or nobody listens any more.
fn read(
    stream: Option<impl Read + Send + 'static>,
    kind: Stream,
    lines: SyncSender<(Stream, String)>,
) {
    // Not a scoped thread: something that the hook left behind may hold the stream open for as long as it likes.
    std::thread::spawn(move || {
        let Some(stream) = stream else {
            return;
        };
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut stream).take(MAX_LINE).read_until(b'\n', &mut line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let end = |byte: &u8| *byte == b'\n' || *byte == b'\r';
            while line.last().is_some_and(end) {
                line.pop();
            }
            let text = printable(&String::from_utf8_lossy(&line));
            if lines.send((kind, text)).is_err() {
                return;
            }
        }
    });
}

/// Ends the hook and what it has started: asks first, so that it can tidy up.
fn stop(child: &mut Child, lines: &Receiver<(Stream, String)>, output: &mut Output<'_>) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    };
    signal(Signal::TERM);
    let deadline = Instant::now() + TIDY;
    // It may have to say something before it ends, and would wait for a reader.
    while Instant::now() < deadline {
        output.take(lines, POLL);
        if !matches!(child.try_wait(), Ok(None)) {
            break;
        }
    }
    signal(Signal::KILL);
    let _ = child.wait();
}
