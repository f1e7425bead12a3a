# Every sentence of the report in English. The same ids with the same values stand in the other catalogues.
# PERCENT: fraction -> percent with its sign. POINTS: in points. CHANGE: with its sign.

intro = Data: { $source }, { $classes } classes ({ $set }), { $train } train / { $val } validation / { $test } test images. Every measurement below is made by `dvc repro` from this repository; a claim that no measurement decides is marked *not measured*.

source-synthetic = **synthetic** faces
source-rafce = **RAF-CE**
source-ferplus = **FER+** compound faces
source-imagefolder = **images of one's own** (`imagefolder`)
## Sections
summary = Summary
protocol = Protocol and assumptions
data = Data
runs = Runs
attention = Class-activation maps
conclusion = Conclusion
reproduce = How to reproduce

## Summary
points = points
run = Run
run-title = { $name }: { $title }
trained = Trained
train-percent = Train %
val-percent = Val %
test-percent = Test %
gap = Gap
gap-last = Gap, last epoch
val-f1 = Val macro-F1
test-f1 = Test macro-F1
supported-by-evidence = Supported by the evidence
none = none
and = {" and "}
majority = Always the most frequent class
summary-note = Accuracies in percent on clean images, at the epoch selected on validation; gaps (train minus validation) in points. The best run by validation is in bold. One seed: a difference of a few points between runs may be chance.

verdicts = Verdicts
verdict-overfitting = overfitting
verdict-underfitting = underfitting
verdict-under-trained = under-trained
verdict-catastrophic-forgetting = catastrophic forgetting
outcome-supported = supported
outcome-not-supported = not supported
outcome-not-measured = not measured
verdicts-note = Overfitting: a gap of at least { POINTS($gap) } at the last epoch. Underfitting: a train accuracy below { PERCENT($low) } that no longer rises; under-trained: one that still does, by more than { POINTS($plateau) } over the last third of epochs. These thresholds are set in `params.yaml`; the deciding numbers are listed under each run. A number close to its threshold decides little.
evidence-overfitting = gap at the last epoch { POINTS($gap) }, threshold { POINTS($threshold) }
evidence-low = train accuracy at the last epoch { PERCENT($train_accuracy) }, below the threshold { PERCENT($threshold) }; on the images of the curve it went from { PERCENT($before) } to { PERCENT($curve) } ({ CHANGE($rise) }) over the last third of epochs
evidence-low-one-epoch = train accuracy at the last epoch { PERCENT($train_accuracy) }, below the threshold { PERCENT($threshold) }; one epoch cannot show whether the run still learns
evidence-not-low = train accuracy at the last epoch { PERCENT($train_accuracy) }, not below the threshold { PERCENT($threshold) }
evidence-catastrophic-forgetting = accuracies alone cannot show it: it needs the source task's accuracy before and after fine-tuning

claim-supported = supported
claim-not-supported = not supported
claim-not-measured = not measured
claim-contradicted = contradicted
claim-supported-for-some-runs = supported for some runs
claims = The original's claims beside what was measured
claims-note = The claims name runs 1 to 3 of the original; here they are held against `run1`, `run2` and `run3` as configured below. Relative heat that differs by less than { DECIMAL($heat, 1) } and shares that differ by less than { POINTS($shares) } speak for neither side; a class is rare when it stands in the lower half by training images, and the claim is contradicted when it stands among the first three.
claim = Claim
measured-here = Measured here
verdict = Verdict
claim-overfits = Run 1 overfits (train 87%, validation 43%)
claim-memorised = Run 1 memorised background noise, lighting and specific pixels
claim-underfits = Run 2 underfits (validation 36%, gap about 10 points)
claim-generic-features = Generic ImageNet features do not suffice for subtle classes such as Happily disgusted
claim-forgets = Run 3 forgets catastrophically (validation 31%): fine-tuning destroyed what was pre-trained
claim-background = The maps often light up on background or hair rather than on eyes and mouth
claim-rare = Angrily disgusted is a rare class
claim-fails = The network fails totally on Angrily disgusted
claim-biased = The network is biased towards the frequent classes
claim-confused = Emotions that share an obvious geometry (open mouth) are confused
claim-millions = Without millions of images a deep CNN cannot learn these micro-features
measured-nothing = no measurement in this report decides it
measured-background = heat relative to area (1 = no preference): { $list }. Whether the maps depend on the weights is not measured
measured-background-run = { $name }: { DECIMAL($away, 2) } on background and hair, { DECIMAL($facial, 2) } on eyes, brows, mouth
measured-no-regions = no region maps for these images: only centre against border is known
measured-empty-maps = all maps of a run are empty
measured-no-area = these images show none of: { $areas }
measured-rare = number { $rank } of { $classes } by training images here ({ $images }), number { $published } of { $all } in RAF-CE as published ({ $published_images })
measured-fails = recall on validation: { $list }
measured-fails-run = { $name } { PERCENT($recall) }
measured-no-image = validation holds no such image
measured-biased = predictions on the three most frequent classes against the images there: { $list }
measured-biased-run = { $name } { PERCENT($predicted) } against { PERCENT($true) }
measured-confused = { $list }. That it is geometry which they share is not measured
measured-confused-run = { $name }: { PERCENT($share) } of errors share a basic emotion with the truth ({ PERCENT($expected) } if wrong answers followed the frequency of the run's predictions)
measured-one-size = one data size only; it needs a learning curve

## Protocol
value = Value
network = Network
network-value = ResNet-50 (torchvision), head = dropout + linear
starting-weights = Starting weights
random-weights = random
pretraining = Basic-emotion pretraining
pretraining-value = { $epochs } { $epochs ->
    [one] epoch
   *[other] epochs
} on { $train } single emotions; { PERCENT($accuracy) } of their { $val } validation images right, which also chose the epoch (most frequent class { PERCENT($majority) })
images = Images
images-value = { $stored } px in the dataset, trained at { $used } px
epochs-batch = Epochs, batch size
optimiser = Optimiser
optimiser-value = { $optimizer }, weight decay { $decay }, constant learning rates
precision = Precision, threads, seed
selection = Selection
selection-value = best validation accuracy over epochs; the test split is scored once
trained-parts = Trained parts
learning-rates = Learning rate body / head
mixup-alpha = Mixup alpha
augmentation = Augmentation
assumed = **Not in the original, assumed here:** optimiser and weight decay, constant learning rates, batch size, number of epochs, precision, selection by validation accuracy, Mixup's alpha, the learning rates of runs 1 and 2, standard augmentation in runs 2 and 3, { $pretraining }which ImageNet weights{ $weights }, and the size at which the network sees the images.
assumed-pretraining = pretraining on basic emotions,{" "}
assumed-random = {" "}(none are used in this study: its networks start from random weights)
assumed-random-basic = {" "}(none are used in this study: its networks start from random weights and the basic emotions)
fixed = The original fixes ResNet-50, ImageNet weights, for run 2 Mixup, dropout 0.6 and the frozen parts, for run 3 the two learning rates and the trained parts.

## Data
class = Class
rafce-name = RAF-CE id and name
train = Train
val = Val
test = Test
published = RAF-CE as published (train / val / test)
share-percent = Share %
published-percent = In RAF-CE %
all = All
basic-images = Basic emotions: { $train } train, { $val } validation, { $test } test;
basic-used = pretraining uses the first and is selected on the second; the third is not used.
basic-unused = not used in this study.
class-order = The order of classes is RAF-CE's own and is decided in one module; tests check that ids, folder names, the axes below and the class list in the weights agree.
classes-alt = Share of each class by split beside its share in RAF-CE; { $most }, the most frequent class here: { PERCENT($here) } of all images, { PERCENT($published) } in RAF-CE
audit = What was left out, and what the files are
audit-note = Every image was opened and checked before anything was trained. Numbers are train / validation / test.
reason = Reason
compound-by-split = Compound
basic-by-split = Basic
reason-absent = its file is not there, which this source allows
reason-missing = its file is missing
reason-damaged = its archive is damaged
reason-unreadable = not an image that can be used
reason-truncated = truncated
reason-blank = one colour all over
reason-other-class = a class outside this study
reason-pixel-copy = identical pixels: another copy is kept
reason-near-copy = a near-copy of an image in another split
reason-same-person = a person who is in another split, too
left-out = { $number } of { $all } listed images are left out; `data/extracted/dropped.csv` names them.
nothing-left-out = None of the { $all } listed images is left out.
across-splits = Pairs of images across splits
test-val = test and val
test-train = test and train
val-train = val and train
pairs-pixel-copy = identical pixels
pairs-near-copy = near-copies (the same photograph, cropped, lit, lettered or mirrored otherwise)
pairs-same-person = the same person
leakage-drop = Of each such pair one image is kept: a compound before a basic one, then test before validation before train.
leakage-error = Such pairs end the study, so what is listed here was found within one split only.
leakage-warn = **They are in the data** (`data.leakage: warn`): accuracies on validation and test are in part accuracies on images seen in training.
other-label = { $number } of the images left out as copies had another label than the one kept.
no-leakage = No image, near-copy or known person was found in two splits.
files = Files: { $formats }; modes: { $modes }.
one-size = All are { $width } × { $height } px.
sizes = { $different } sizes, from { $small } to { $large } px, most often { $most }.
units-known = Action units are known for { PERCENT($compound) } of the compound and { PERCENT($basic) } of the basic images.
soft-labels = { PERCENT($share) } of the compound images have soft labels (shares of six emotions); in { PERCENT($agree) } of these the label's two emotions are the highest.
no-soft-labels = There are no soft labels.
fingerprint = Fingerprint of the data: `{ $fingerprint }` (content, role, split and label of every image, whatever the order and packaging; the weights carry it, too).
licence-open = Pictures and label lists of this source may stand in git.
licence-closed = Pictures and label lists of this source may not stand in git: they lie in the DVC cache alone.
sheet-note = Some images of each class:
sheet-alt = Contact sheet: up to ten images of each class, compound classes first

## Runs
curves-alt = Accuracy by epoch, train and validation. Last epoch: { $list }
curves-alt-run = { $name } train { PERCENT($train) }, validation { PERCENT($val) }
curves-note = Accuracy by epoch on clean images. The train curve is taken on as many training images as validation has, so its end differs a little from the train accuracy in the tables, which is taken on all.
run-result = Epoch { $epoch } selected of { $epochs }. Validation { PERCENT($val) } (always answering the most frequent class: { PERCENT($majority) }); at the last epoch train { PERCENT($last_train) }, validation { PERCENT($last_val) }.
outcome = Outcome
evidence = Evidence
confusion = Confusions
matrices-alt = Confusion matrices on validation. Right answers: { $list }
matrices-alt-run = { $name } { $right } of { $images }
matrices-note = Numbers count images; the colour is the share of the true class, its row.
best-on-test = The best run by validation, { $name }, on test:
final-alt = Confusion matrix of { $name } on test, accuracy { PERCENT($accuracy) }
errors-share = { $errors } errors on validation, { PERCENT($share) } of them share a basic emotion with the truth ({ PERCENT($expected) } if wrong answers followed the frequency of the run's predictions).
true = True
predicted = Predicted
share-of-class = Share of the true class %
bias = Majority-class bias
f1-alt = F1 by class and run on validation, classes ordered by training images; the table below gives recall on the most and the least frequent class
frequent = The three most frequent classes in training are { $list }.
predictions-there = Predictions on them %
images-there = Images of them %
recall-most = Recall of { $class } (most frequent) %
recall-least = Recall of { $class } (least frequent) %
never-predicted = Never predicted

## Class-activation maps
attention-alt = Share of heat relative to share of area. { $list }
attention-alt-run = { $name }: { $shares }
attention-alt-area = { $area } { DECIMAL($ratio, 2) }
maps = { $method } maps of the predicted class at { $layer }, a grid of { $grid } × { $grid } cells, on { $images } validation images, each map scaled to [0, 1] by the grad-cam library; empty maps are left out.
regions-exact = The areas are known exactly: they are drawn with the face.
regions-none = No region maps exist for these images: the centre is the central square of 60% of the side.
relative = Relative heat is the share of heat divided by the share of area: 1 means no preference. Whether a map depends on the weights at all, and whether the network needs what the map marks, is not measured here.
area = Area
heat-percent = Heat %
area-percent = Area %
relative-head = Relative
area-eyes_brows = eyes + brows
area-nose = nose
area-mouth = mouth
area-other_face = other face
area-hair = hair
area-background = background
area-centre = centre
area-border = border
empty-maps = empty maps, left out
of = { $part } of { $all }
gallery-note = Examples of each class, image beside overlay, the most confident first: on the left (✓) right answers, on the right (✗) wrong ones, with the answer and its probability; a dash where there is none. Classes are named as in RAF-CE.
gallery-alt = Gallery of { $name }: right and wrong examples of each class, image and overlay
gallery-elsewhere = The galleries (right and wrong examples of each class, image beside overlay) are pictures of faces: they lie in the DVC cache as `plots/runs/<run>/gallery.jpg` and in `report/report.html`.

## Conclusion
order = By validation accuracy the order is { $list }; the original reports run 1 (43%), run 2 (36%), run 3 (31%) on RAF-CE.
order-run = { $name } ({ PERCENT($accuracy) })
other-images = The images differ ({ $source }), so the levels cannot be compared, only the character of the runs.
best-reaches = On test the best run by validation, { $name }, reaches { PERCENT($accuracy) } accuracy and { DECIMAL($f1, 3) } macro-F1.
supports = { $name }: the evidence supports { $list }.
supports-none = { $name }: the evidence supports none of the verdicts.
claim-counts = Of the original's claims { $supported } { $supported ->
    [one] is
   *[other] are
} supported, { $partly } supported for some runs, { $unsupported } not supported, { $contradicted } contradicted, { $unmeasured } not measured, on these data and at these settings.

## How to reproduce
reproduce-note = With the `params.yaml` of this commit; the images of sources other than `synthetic` have to be placed first (`docs/data/`).
this-repository = this repository
environment-comment = or dvc repro, in an environment with requirements.txt
verify-comment = runs this commit again in a clean copy and compares every output with the one recorded

## Figures
figure-epoch = Epoch
figure-accuracy = Accuracy, %
figure-curves = Solid: validation. Dashed: train. Clean images
figure-validation = validation { PERCENT($accuracy) }
figure-test = { $name }: { $title }, test
figure-test-scores = accuracy { PERCENT($accuracy) }, macro-F1 { DECIMAL($f1, 3) }, { $images } images
figure-f1-axis = F1
figure-classes = Share of each class by split, beside RAF-CE as published
figure-classes-axis = Share of the split, %
figure-train = train
figure-val = validation
figure-test-split = test
figure-published = RAF-CE, all splits
figure-f1 = F1 on validation, by class (number of training images)
figure-attention-axis = Share of heat / share of area
figure-attention = Class-activation maps: 1 = no preference

## Classes
Happily_Surprised = Happily surprised
Happily_Disgusted = Happily disgusted
Sadly_Fearful = Sadly fearful
Sadly_Angry = Sadly angry
Sadly_Surprised = Sadly surprised
Sadly_Disgusted = Sadly disgusted
Fearfully_Angry = Fearfully angry
Fearfully_Surprised = Fearfully surprised
Fearfully_Disgusted = Fearfully disgusted
Angrily_Surprised = Angrily surprised
Angrily_Disgusted = Angrily disgusted
Disgustedly_Surprised = Disgustedly surprised
Happily_Fearful = Happily fearful
Happily_Sad = Happily sad
