window.YTD.tweets.part0 = [
  {
    "tweet": {
      "edit_info": {
        "initial": {
          "editTweetIds": [
            "2028017393464246273"
          ],
          "editableUntil": "2026-03-01T09:00:00.000Z",
          "editsRemaining": "5",
          "isEditEligible": true
        }
      },
      "retweeted": false,
      "entities": {
        "hashtags": [],
        "user_mentions": [],
        "urls": []
      },
      "favorite_count": "7",
      "id_str": "2028017393464246273",
      "id": "2028017393464246273",
      "retweet_count": "2",
      "created_at": "Sun Mar 01 08:00:00 +0000 2026",
      "favorited": false,
      "full_text": "Jadwal layanan baru &amp; loket tambahan",
      "lang": "in"
    }
  },
  {
    "tweet": {
      "entities": {
        "user_mentions": [
          {
            "name": "Warga",
            "screen_name": "warga_satu",
            "indices": [
              "0",
              "11"
            ],
            "id_str": "901",
            "id": "901"
          }
        ]
      },
      "in_reply_to_status_id_str": "177",
      "in_reply_to_user_id_str": "901",
      "in_reply_to_screen_name": "warga_satu",
      "favorite_count": "0",
      "id_str": "2028017645122486273",
      "retweet_count": "0",
      "created_at": "Sun Mar 01 08:01:00 +0000 2026",
      "full_text": "@warga_satu Besok buka pukul 8, dengan \"[nomor]\" antrean.",
      "lang": "in"
    }
  },
  {
    "tweet": {
      "entities": {
        "user_mentions": [
          {
            "screen_name": "kota_b",
            "id_str": "200"
          }
        ]
      },
      "favorite_count": "0",
      "id_str": "2028017896780726273",
      "retweet_count": "4",
      "created_at": "Sun Mar 01 08:02:00 +0000 2026",
      "full_text": "RT @kota_b: pengumuman bersama",
      "lang": "in"
    }
  },
  {
    "tweet": {
      "id_str": "2028018148438966273",
      "created_at": "kemarin",
      "full_text": "tanggal rusak"
    }
  },
  {
    "tweet": {
      "edit_info": {
        "edit": {
          "initialTweetId": "2028018148438966273",
          "editControlInitial": {
            "editTweetIds": [
              "2028018148438966273",
              "2028018400097206273"
            ],
            "editableUntil": "2026-03-01T09:03:00.000Z"
          }
        }
      },
      "id_str": "2028018400097206273",
      "created_at": "Sun Mar 01 08:04:00 +0000 2026",
      "full_text": "Versi kedua",
      "favorite_count": "1",
      "retweet_count": "0",
      "lang": "in"
    }
  }
]
