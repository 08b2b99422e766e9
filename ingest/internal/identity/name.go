package identity

import "github.com/dwiarah/dwiarah/schemas/institutions"

// Name is under which of its names an account goes into a message where the platform tells both: the handle where the institutions file knows the account by
// it alone, else the id. So an official account is recognised however the file names it, and a citizen has one name throughout.
func Name(d *institutions.Directory, platform, id, handle string) string {
	if id == "" {
		return handle
	}
	if handle != "" {
		if byID, _ := d.Owner(platform, id); byID == nil {
			if byHandle, _ := d.Owner(platform, handle); byHandle != nil {
				return handle
			}
		}
	}
	return id
}
