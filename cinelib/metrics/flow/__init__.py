"""The optical flow behind MotionScore: dense flow, what moves as one surface, what the camera does."""
