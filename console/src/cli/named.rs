//! Records with the name of the organization that they belong to. Only people are told it: programs have
//! its id.

use serde::Serialize;

use crate::args::Format;
use crate::client::Client;
use crate::error::Error;

use super::output::Record;
use super::watch::Watched;

/// A record, and the name of its organization where that is wanted and known.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Named<T> {
    record: T,
    #[serde(skip)]
    organization: Option<String>,
}

impl<T> Named<T> {
    /// Asks for the name of the record's organization, if it has the `id` of one and is shown to people.
    pub(super) async fn of(
        record: T,
        id: Option<String>,
        client: &Client,
        format: Format,
    ) -> Result<Self, Error> {
        let organization = match (format, id) {
            (Format::Table, Some(id)) => organization_name(client, id).await?,
            _ => None,
        };
        Ok(Self {
            record,
            organization,
        })
    }
}

/// The name of an organization; `None` for one that is gone, or not for this operator to see.
pub(super) async fn organization_name(
    client: &Client,
    id: String,
) -> Result<Option<String>, Error> {
    match client.organization(id).await {
        Ok(organization) => Ok(Some(organization.name.to_string())),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<T: Record> Record for Named<T> {
    const HEADINGS: &'static [&'static str] = T::HEADINGS;

    fn cells(&self) -> Vec<String> {
        self.record.cells()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.record.fields();
        let id = fields
            .iter()
            .position(|(name, _)| *name == "organization_id");
        if let (Some(at), Some(name)) = (id, &self.organization) {
            fields.insert(at, ("organization", name.clone()));
        }
        fields
    }
}

impl<T: Watched> Watched for Named<T> {
    fn key(&self) -> String {
        self.record.key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_the_organization_s_name_and_programs_its_id() {
        let record = crate::tui::an_agent();
        let json = record.json().unwrap();
        let named = Named {
            record,
            organization: Some("acme".to_owned()),
        };
        assert_eq!(named.json().unwrap(), json);
        let fields: Vec<_> = named.fields().into_iter().map(|(name, _)| name).collect();
        assert_eq!(fields[..3], ["id", "organization", "organization_id"]);
        assert_eq!(named.fields()[1].1, "acme");
    }
}
