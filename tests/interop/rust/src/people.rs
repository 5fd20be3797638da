//! Who takes part: one with a plain client on `/v3/sync`, one with an app on sliding sync.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use futures_util::{StreamExt as _, pin_mut};
use matrix_sdk::{
    Client, Room, ThreadingSupport,
    authentication::matrix::MatrixSession,
    config::SyncSettings,
    ruma::{
        OwnedEventId, RoomId,
        api::client::{account::register::v3::Request as Register, uiaa},
        events::room::message::RoomMessageEventContent,
    },
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    RoomListService, Timeline,
    eyeball_im::Vector,
    room_list_service::{RoomListItem, filters::new_filter_non_left},
    sync_service::SyncService,
    timeline::{EventTimelineItem, RoomExt as _},
};
use tokio::{task::JoinHandle, time::sleep};

const PASSWORD: &str = "a long enough pass phrase";
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Wait for `test` to give something; an error after 20 s.
pub async fn until<T, F>(what: &str, mut test: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    let waiting = async {
        loop {
            if let Some(found) = test().await {
                return found;
            }
            sleep(Duration::from_millis(30)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .map_err(|_| anyhow!("waited {} s in vain for {what}", PATIENCE.as_secs()))
}

pub async fn registered(base_url: &str, name: &str) -> Result<()> {
    let mut request = Register::new();
    request.username = Some(name.to_owned());
    request.password = Some(PASSWORD.to_owned());
    request.auth = Some(uiaa::AuthData::Dummy(uiaa::Dummy::new()));
    request.inhibit_login = true;
    let client = Client::builder().homeserver_url(base_url).build().await?;
    client.matrix_auth().register(request).await?;
    Ok(())
}

/// A client whose store lies in `folder`. It finds out by itself that there is sliding sync.
pub async fn opened(base_url: &str, folder: &Path) -> Result<Client> {
    Client::builder()
        .homeserver_url(base_url)
        .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
        .sqlite_store(folder, None)
        .with_threading_support(ThreadingSupport::Enabled {
            with_subscriptions: true,
        })
        .build()
        .await
        .context("a client")
}

pub async fn logged_in(base_url: &str, folder: &Path, name: &str) -> Result<Client> {
    let client = opened(base_url, folder).await?;
    client
        .matrix_auth()
        .login_username(name, PASSWORD)
        .initial_device_display_name("interop")
        .send()
        .await
        .context("a login")?;
    Ok(client)
}

/// A client that syncs by `/v3/sync`, without end.
pub struct Plain {
    pub client: Client,
    syncing: JoinHandle<()>,
}

impl Plain {
    pub fn start(client: Client) -> Self {
        let syncing = tokio::spawn({
            let client = client.clone();
            async move {
                loop {
                    let settings = SyncSettings::new().timeout(Duration::from_secs(10));
                    if let Err(error) = client.sync(settings).await {
                        eprintln!("/v3/sync: {error}");
                        sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        });
        Self { client, syncing }
    }

    pub fn stop(self) {
        self.syncing.abort();
    }
}

/// What a messenger is made of: a room list and encryption, each with a sliding sync, and a list on the screen.
pub struct App {
    pub client: Client,
    pub sync: Arc<SyncService>,
    screen: Arc<Mutex<Vector<RoomListItem>>>,
    drawing: JoinHandle<()>,
}

impl App {
    pub async fn start(client: Client) -> Result<Self> {
        let sync = Arc::new(
            SyncService::builder(client.clone())
                .with_offline_mode()
                .build()
                .await?,
        );
        let screen = Arc::new(Mutex::new(Vector::new()));
        let drawing = tokio::spawn(draw(sync.room_list_service(), screen.clone()));
        sync.start().await;
        Ok(Self {
            client,
            sync,
            screen,
            drawing,
        })
    }

    /// The names of the rooms on the screen, from the top.
    pub fn names(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap();
        screen
            .iter()
            .map(|room| {
                room.cached_display_name()
                    .map_or("?".to_owned(), |name| name.to_string())
            })
            .collect()
    }

    pub fn room(&self, room_id: &RoomId) -> Result<Room> {
        room(&self.client, room_id)
    }

    /// The room is opened: the server is asked for more of it.
    pub async fn open(&self, room_id: &RoomId) -> Result<Timeline> {
        self.sync
            .room_list_service()
            .subscribe_to_rooms(&[room_id])
            .await;
        Ok(self.room(room_id)?.timeline().await?)
    }

    /// The app is closed: what is left of it is in its folder, and the session.
    pub async fn close(self) -> Result<MatrixSession> {
        let session = self.client.matrix_auth().session().context("a session")?;
        self.sync.stop().await;
        self.drawing.abort();
        self.client.pause().await?;
        Ok(session)
    }
}

async fn draw(service: Arc<RoomListService>, screen: Arc<Mutex<Vector<RoomListItem>>>) {
    let list = service.all_rooms().await.expect("the list of all rooms");
    let (changes, controller) = list.entries_with_dynamic_adapters(200);
    controller.set_filter(Box::new(new_filter_non_left()));
    pin_mut!(changes);
    while let Some(changes) = changes.next().await {
        let mut screen = screen.lock().unwrap();
        for change in changes {
            change.apply(&mut screen);
        }
    }
}

pub fn room(client: &Client, room_id: &RoomId) -> Result<Room> {
    client
        .get_room(room_id)
        .with_context(|| format!("{room_id} is not known"))
}

pub async fn say(room: &Room, text: &str) -> Result<OwnedEventId> {
    let sent = room.send(RoomMessageEventContent::text_plain(text)).await?;
    Ok(sent.response.event_id)
}

/// The messages of a timeline, with what has been made of them since.
pub async fn messages(timeline: &Timeline) -> Vec<EventTimelineItem> {
    let items = timeline.items().await;
    items
        .iter()
        .filter_map(|item| item.as_event())
        .filter(|item| item.content().is_message())
        .cloned()
        .collect()
}

pub async fn texts(timeline: &Timeline) -> Vec<String> {
    messages(timeline)
        .await
        .iter()
        .map(|item| text(item).to_owned())
        .collect()
}

pub fn text(item: &EventTimelineItem) -> &str {
    item.content()
        .as_message()
        .map_or("", |message| message.body())
}

/// Wait for a message in a timeline, sent and told by the server.
pub async fn shown(timeline: &Timeline, wanted: &str) -> Result<EventTimelineItem> {
    until(&format!("{wanted:?}"), || async {
        messages(timeline)
            .await
            .into_iter()
            .find(|item| text(item) == wanted && !item.is_local_echo())
    })
    .await
}
