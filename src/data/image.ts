// The size of an image of a data set: all its images have the same.

export interface ImageSize {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}
