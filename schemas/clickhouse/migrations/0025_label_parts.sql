-- As those of the messages: replaced parts leave the disk after a minute, so that an erasure can prove itself.
ALTER TABLE message_labels MODIFY SETTING old_parts_lifetime = 60
