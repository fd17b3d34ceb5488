//! Objects as an API server gives them, and the judgement of them.

mod faults;
mod image;
mod kinds;
mod others;
mod patience;
mod pods;

use serde_json::{Value, json};

use super::samples::*;
use super::*;

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Waiting { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

fn done(verdict: Verdict) -> Done {
    match verdict {
        Verdict::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

fn failed(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Failed(reason) => *reason,
        other => panic!("{other:?}"),
    }
}

fn first_trouble(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Waiting { troubles, .. } => troubles.into_iter().next().expect("a trouble"),
        other => panic!("{other:?}"),
    }
}
