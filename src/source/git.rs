//! Git repositories: is a directory one, and a clone of one commit by the `git` program of this machine.
//!
//! ```text
//! repository     what a directory is, from its files alone: nothing of a repository is run to find out
//! command        one run of git: what it is told, what it may not do, whose secrets are in its output
//! process        its streams, and its end
//! head           what is checked out in a working tree of the person's
//! clone          ls-remote, init, fetch of one commit, checkout, submodules, facts
//! ```
//!
//! A repository is not trusted: its hooks do not run, its submodules may not be of this machine, and what its configuration
//! names is not executed. Credentials go to git in the environment and to nobody else; in the clone there are none.

pub(super) mod clone;
pub(super) mod command;
mod head;
mod process;
mod repository;

pub use command::Host;
pub use head::{Head, commit, head, is_inside};
pub use repository::{Repository, repository};

#[cfg(test)]
#[path = "git/tests.rs"]
mod tests;
