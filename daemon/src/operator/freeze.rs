//! Freezing a domain: nothing goes to it until it is thawed, whatever happens meanwhile.

use vouchsafe_spool::Lane;

use super::Hand;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FreezeError {
    /// The text is no domain.
    #[error("\"{0}\" is no domain")]
    Domain(String),
    /// The list cannot be read or written.
    #[error("the list of frozen domains")]
    List(#[from] std::io::Error),
}

/// Freezes a domain, or thaws it. Durable before anybody is told. False if it was so before.
pub async fn freeze(hand: &Hand, domain: &str, frozen: bool) -> Result<bool, FreezeError> {
    let lane = Lane::of_domain(domain).ok_or_else(|| FreezeError::Domain(domain.to_owned()))?;
    let (list, name) = (hand.frozen.clone(), lane.clone());
    // One at a time, or two would write over one another.
    let _turn = TURN.lock().await;
    let kept = tokio::task::spawn_blocking(move || {
        let mut lanes = list.read()?;
        let changed = if frozen {
            lanes.insert(name)
        } else {
            lanes.remove(&name)
        };
        if changed {
            list.keep(&lanes)?;
        }
        Ok::<_, std::io::Error>((changed, lanes))
    });
    let (changed, lanes) = kept.await.map_err(std::io::Error::other)??;
    hand.desk.freeze(lanes).await;
    if changed {
        let action = if frozen { "freeze" } else { "thaw" };
        tracing::info!(domain = %lane, action, "by the operator");
    }
    Ok(changed)
}

/// Whose turn it is to write the list.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
