package youtube

import (
	"encoding/json"
	"time"
)

// Resources of the YouTube Data API v3, as far as they are read.

type list struct {
	Items    []json.RawMessage `json:"items"`
	NextPage string            `json:"nextPageToken"`
}

type channel struct {
	ID         string `json:"id"`
	Statistics struct {
		Subscribers string `json:"subscriberCount"` // rounded
		Hidden      bool   `json:"hiddenSubscriberCount"`
		Videos      string `json:"videoCount"`
	} `json:"statistics"`
	Content struct {
		Related struct {
			Uploads string `json:"uploads"`
		} `json:"relatedPlaylists"`
	} `json:"contentDetails"`
}

type thread struct {
	ID      string `json:"id"`
	Snippet struct {
		ChannelID string  `json:"channelId"` // whose videos it is about
		VideoID   string  `json:"videoId"`
		Top       comment `json:"topLevelComment"`
		Replies   int64   `json:"totalReplyCount"`
		Public    *bool   `json:"isPublic"`
	} `json:"snippet"`
	Replies struct {
		Comments []json.RawMessage `json:"comments"`
	} `json:"replies"`
}

type comment struct {
	ID      string `json:"id"`
	Snippet struct {
		ParentID string `json:"parentId"`
		VideoID  string `json:"videoId"`
		Name     string `json:"authorDisplayName"` // @handle
		Channel  struct {
			Value string `json:"value"`
		} `json:"authorChannelId"`
		Text      string    `json:"textDisplay"`
		Likes     *int64    `json:"likeCount"`
		Published time.Time `json:"publishedAt"`
		Updated   time.Time `json:"updatedAt"`
	} `json:"snippet"`
}

// video is an item of the uploads playlist, or of videos.list, which put the same into other places.
type video struct {
	ID      string `json:"id"`
	Snippet struct {
		Title       string    `json:"title"`
		Description string    `json:"description"`
		Published   time.Time `json:"publishedAt"`
		Lang        string    `json:"defaultAudioLanguage"`
	} `json:"snippet"`
	Content struct {
		VideoID   string    `json:"videoId"`
		Published time.Time `json:"videoPublishedAt"`
	} `json:"contentDetails"`
	Status struct {
		Privacy string `json:"privacyStatus"`
	} `json:"status"`
	Statistics struct {
		Views    string `json:"viewCount"`
		Likes    string `json:"likeCount"`
		Comments string `json:"commentCount"`
	} `json:"statistics"`
}
