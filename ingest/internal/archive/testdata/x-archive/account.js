window.YTD.account.part0 = [
  {
    "account" : {
      "email" : "kontak@kota-a.example",
      "username" : "kota_a",
      "accountId" : "100"
    }
  }
]
