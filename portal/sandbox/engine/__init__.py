"""What happens to money and time: functions over an open transaction, each told what time it is."""
