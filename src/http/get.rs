//! Getting one small document: bounded, with redirects followed as a browser does.

use reqwest::Url;
use reqwest::header::LOCATION;

use super::{Http, Interrupted, cause};
use crate::event::Observer;

/// So many redirects are followed; Go's client, which s2i uses, takes as many.
const MAX_REDIRECTS: usize = 10;

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetError {
    /// The text is no URL.
    #[error("it is no URL that can be fetched")]
    Url,
    /// The server has something else to say.
    #[error("the server answers {0}")]
    Status(u16),
    /// It is larger than it may be.
    #[error("it is larger than {0} bytes")]
    Large(u64),
    /// It leads from an encrypted page to one that is not, or nowhere.
    #[error("{0}")]
    Redirect(&'static str),
    /// The network.
    #[error("{0}")]
    Network(String),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl From<Interrupted> for GetError {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl Http {
    /// The document at `url`, of at most `limit_bytes`. Only the statuses 200 and 201 count.
    ///
    /// # Errors
    /// [`GetError`]; its text has no URL, for URLs can carry secrets.
    pub fn get(
        &self,
        url: &str,
        limit_bytes: u64,
        observer: &dyn Observer,
    ) -> Result<Vec<u8>, GetError> {
        let url = Url::parse(url).map_err(|_| GetError::Url)?;
        self.run(observer, self.follow(url, limit_bytes))?
    }

    async fn follow(&self, mut url: Url, limit_bytes: u64) -> Result<Vec<u8>, GetError> {
        let network = |error| GetError::Network(cause(error));
        for _ in 0..=MAX_REDIRECTS {
            let request = self.client().get(url.clone()).send();
            let mut answer = request.await.map_err(network)?;
            let status = answer.status();
            if status.is_redirection() {
                let place = answer.headers().get(LOCATION);
                let place = place.and_then(|place| place.to_str().ok());
                let next = place.and_then(|place| url.join(place).ok());
                let next = next.ok_or(GetError::Redirect("it is redirected to nowhere"))?;
                if url.scheme() == "https" && next.scheme() != "https" {
                    return Err(GetError::Redirect(
                        "it is redirected from an encrypted page to one that is not",
                    ));
                }
                url = next;
                continue;
            }
            if !matches!(status.as_u16(), 200 | 201) {
                return Err(GetError::Status(status.as_u16()));
            }
            let mut bytes = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(network)? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > limit_bytes {
                    return Err(GetError::Large(limit_bytes));
                }
            }
            return Ok(bytes);
        }
        Err(GetError::Redirect("it is redirected too often"))
    }
}
