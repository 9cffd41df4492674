//! The databases that the platform runs for an app.

use mainstay_spec::ids::AppId;

use super::{Application, Refusal};
use crate::databases::{self, DatabaseView, NotDeleted};

impl Application {
    pub(crate) async fn app_databases(&self, app: AppId) -> Result<Vec<DatabaseView>, Refusal> {
        self.app(app).await?;
        Ok(databases::of_app(&self.platform, app).await?)
    }

    /// With all its data, which has to be `confirmed`. One that a spec names is refused.
    pub(crate) async fn delete_app_database(
        &self,
        app: AppId,
        name: &str,
        confirmed: bool,
    ) -> Result<(), Refusal> {
        self.app(app).await?;
        if !confirmed {
            return Err(Refusal::Conflict(format!(
                "the data of `{name}` would be deleted for good; to do that, set delete_data=true (`mainstay databases delete --delete-data`)"
            )));
        }
        match databases::delete_unused(&self.platform, app, name).await? {
            Ok(()) => Ok(()),
            Err(NotDeleted::Unknown) => Err(Refusal::NotFound),
            Err(NotDeleted::InUse) => Err(Refusal::Conflict(format!(
                "`{name}` is in a spec that serves, is being deployed or waits: deploy one without it first"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use mainstay_spec::ids::{AppId, DatabaseId};
    use mainstay_store::DatabaseRow;
    use mainstay_testkit::Place;

    use super::*;
    use crate::system::World;

    fn row(app: AppId) -> DatabaseRow {
        DatabaseRow {
            id: DatabaseId::from_uuid(uuid::Uuid::new_v4()),
            app,
            name: "old".into(),
            engine: "PG".into(),
            version: "15".into(),
            database_name: "old".into(),
            user: "old".into(),
            password: "hunter2".into(),
            admin_password: "hunter3".into(),
            image: None,
            volume_file: "volume.img".into(),
            replaced_volume: None,
            volume_bytes: 1 << 30,
            volume_made: false,
            system_identifier: None,
            instance: None,
            created_at: Timestamp::now(),
        }
    }

    #[test]
    fn a_database_that_no_spec_names_goes_alone_once_its_end_is_confirmed() {
        let place = Place::claim();
        let world = World::new(place.address(3).port(), 0);
        let lived = world.live(async |server| {
            let application = &server.application;
            let app = server.serving_app().await;
            let store = &application.platform.store;
            store.ensure_database(&row(app)).await.unwrap();
            let listed = application.app_databases(app).await.unwrap();
            assert_eq!(listed.len(), 1);
            assert!(!listed[0].is_in_use);
            let unconfirmed = application.delete_app_database(app, "old", false).await;
            assert!(
                matches!(&unconfirmed, Err(Refusal::Conflict(message)) if message.contains("delete_data")),
                "{unconfirmed:?}"
            );
            let unknown = application.delete_app_database(app, "odd", true).await;
            assert!(matches!(unknown, Err(Refusal::NotFound)), "{unknown:?}");
            application.delete_app_database(app, "old", true).await.unwrap();
            assert!(application.app_databases(app).await.unwrap().is_empty());
        });
        assert!(lived.is_some(), "nothing kills this server");
    }
}
