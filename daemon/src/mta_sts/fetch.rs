//! One policy over HTTPS (RFC 8461 §3.3): one GET, no redirects, no cache, the certificate by a
//! trusted authority and for the policy's host, at most 64 KiB of plain text.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::route::Host;
use vouchsafe_proto::tls_policy::report::Ended;
use vouchsafe_proto::tls_policy::sts::{MAX_POLICY, ParsePolicyError};

use crate::tls;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The domain is too long for a policy's host.
    #[error("the policy's host would have no name")]
    Name,
    /// The host cannot be found.
    #[error("{0}")]
    Host(Box<str>),
    /// No connection, or TLS failed.
    #[error("no TLS with the policy's host")]
    Connect(#[source] io::Error),
    /// Nobody is trusted.
    #[error("TLS could not be begun")]
    Trust(#[source] rustls::Error),
    /// What was spoken was not HTTP, or it broke off.
    #[error("the policy's host broke off")]
    Http(#[source] hyper::Error),
    /// Another status than 200: redirects are not followed.
    #[error("the policy's host said {0}")]
    Status(StatusCode),
    /// Something else than plain text.
    #[error("the policy is not plain text")]
    Kind,
    /// The body broke off, or is too long.
    #[error("the policy was not to be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// It came, and is none.
    #[error("not a policy")]
    Policy(#[from] ParsePolicyError),
    /// Too slow.
    #[error("the policy did not come in time")]
    TimedOut,
}

impl FetchError {
    /// What it counts as (RFC 8460 §4.3.2.2).
    pub fn ended(&self) -> Ended {
        match self {
            Self::Policy(_) | Self::Kind => Ended::StsPolicyInvalid,
            Self::Trust(_) => Ended::StsWebpkiInvalid,
            Self::Connect(error) if is_of_tls(error) => Ended::StsWebpkiInvalid,
            _ => Ended::StsPolicyFetchError,
        }
    }
}

/// True for a handshake that was given up, as against a connection that was not had.
fn is_of_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some())
}

/// Fetches from the first of the addresses that answers.
pub async fn policy(
    host: &Domain,
    addresses: Vec<IpAddr>,
    port: u16,
    config: Arc<ClientConfig>,
) -> Result<Vec<u8>, FetchError> {
    let mut last = FetchError::Host("the policy's host has no address".into());
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => return get(host, stream, config).await,
            Err(error) => last = FetchError::Connect(error),
        }
    }
    Err(last)
}

/// Asks over a connection that stands.
async fn get(
    host: &Domain,
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<Vec<u8>, FetchError> {
    let name = tls::server_name(&Host::Name(host.clone())).ok_or(FetchError::Name)?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(FetchError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    // It ends when the sender is dropped, or by its own error, which the request sees.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get("/.well-known/mta-sts.txt")
        .header(HOST, host.as_ascii())
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Name)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(FetchError::Http)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/plain") {
        return Err(FetchError::Kind);
    }
    let body = Limited::new(response.into_body(), MAX_POLICY);
    let body = body.collect().await.map_err(FetchError::Body)?;
    Ok(body.to_bytes().into())
}
