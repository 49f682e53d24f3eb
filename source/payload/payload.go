package payload
