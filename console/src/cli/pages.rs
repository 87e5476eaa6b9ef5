//! Lists of any length, fetched and printed page by page.

use std::io::Write;

use crate::client::{MAX_PAGE, Page};
use crate::error::Error;

use super::output::{Output, Record};
use super::tell;

/// Prints up to `limit` records. `fetch` is called with how many are wanted and where to go on.
pub(super) async fn print<W, T, F>(
    limit: u64,
    output: &mut Output<W>,
    mut fetch: F,
) -> Result<(), Error>
where
    W: Write,
    T: Record,
    F: AsyncFnMut(u32, Option<String>) -> Result<Page<T>, Error>,
{
    // The first page before anything is printed: an error leaves the output empty.
    let mut left = limit;
    let mut page = fetch(size(left), None).await?;
    let mut list = output.list()?;
    loop {
        page.items
            .truncate(usize::try_from(left).unwrap_or(usize::MAX));
        list.page(&page.items)?;
        left = left.saturating_sub(page.items.len() as u64);
        match page.next {
            Some(_) if left == 0 => {
                list.end()?;
                tell(&format!(
                    "there are more than {limit}: ask for more with --limit"
                ));
                return Ok(());
            }
            Some(next) => page = fetch(size(left), Some(next)).await?,
            None => return list.end(),
        }
    }
}

/// Fetches up to `limit` records, for what is shown at once. Whether there are more stands beside them.
pub(super) async fn collect<T, F>(limit: u64, mut fetch: F) -> Result<(Vec<T>, bool), Error>
where
    F: AsyncFnMut(u32, Option<String>) -> Result<Page<T>, Error>,
{
    let mut items: Vec<T> = Vec::new();
    let mut next = None;
    loop {
        let left = limit.saturating_sub(items.len() as u64);
        let page = fetch(size(left), next).await?;
        items.extend(page.items);
        let has_all = items.len() as u64 >= limit;
        match page.next {
            Some(token) if !has_all => next = Some(token),
            more => {
                items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok((items, more.is_some()));
            }
        }
    }
}

fn size(left: u64) -> u32 {
    u32::try_from(left).map_or(MAX_PAGE, |left| left.min(MAX_PAGE))
}

#[cfg(test)]
mod tests {
    use agentidp_shared::{Organization, OrganizationId, OrganizationStatus, Timestamp};

    use super::*;
    use crate::args::Format;

    fn organization(number: u32) -> Organization {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        Organization {
            id: OrganizationId::from_bytes(id),
            name: format!("org-{number}").parse().unwrap(),
            status: OrganizationStatus::Active,
            tier: "free".parse().unwrap(),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            max_credential_age: None,
            tokens_revoked_until: None,
            is_held: false,
            revision: 1,
        }
    }

    /// Prints a list of `total` with `limit` from a daemon that gives at most 300 at once, and
    /// tells what was asked and how many lines came.
    async fn printed(total: u32, limit: u64) -> (Vec<u32>, usize) {
        let mut asked = Vec::new();
        let mut bytes = Vec::new();
        print(
            limit,
            &mut Output::new(Format::Ndjson, &mut bytes),
            async |size, token| {
                asked.push(size);
                let start: u32 = token.map_or(0, |token: String| token.parse().unwrap());
                let end = total.min(start + size.min(300));
                Ok(Page {
                    items: (start..end).map(organization).collect(),
                    next: (end < total).then(|| end.to_string()),
                    total: None,
                })
            },
        )
        .await
        .unwrap();
        (asked, String::from_utf8(bytes).unwrap().lines().count())
    }

    #[tokio::test]
    async fn a_list_pages_by_itself_up_to_its_limit() {
        assert_eq!(printed(2_000, 700).await, (vec![700, 400, 100], 700));
        assert_eq!(printed(500, 5_000_000).await, (vec![1_000, 1_000], 500));
        assert_eq!(printed(0, 10).await, (vec![10], 0));
        assert_eq!(printed(10, 10).await, (vec![10], 10));
    }
}
