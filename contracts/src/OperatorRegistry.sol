// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Treasury} from "./Treasury.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";

/// @title OperatorRegistry: 256 seats, each with an operator, a signing key and a stake
/// @notice A seat's index is the operator's bit in quorum evidence. The owner (a timelock) can name the slasher and
///         nothing else.
contract OperatorRegistry is IOperatorRegistry, Treasury, Ownable2Step, EIP712 {
    bytes32 internal constant POSSESSION_TYPEHASH = keccak256("OperatorPossession(address operator,address signer)");

    /// @notice The longest window a policy may ask for (Coprocessor); unbonding must outlast it, so that no stake
    ///         leaves while an answer it stands for can still be challenged.
    uint64 public constant MAX_WINDOW_SECONDS = 7 days;

    /// @inheritdoc IOperatorRegistry
    uint96 public immutable MIN_STAKE_WEI;
    /// @inheritdoc IOperatorRegistry
    uint64 public immutable UNBONDING_SECONDS;
    /// @notice Who admits operators; zero means anyone may register.
    address public immutable ADMITTER;

    /// @notice Who is named when stake is burnt: a slashing's second part, not a second slashing. Nobody has its key.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;

    /// @notice The contract that slashes on objective evidence (FraudProofs); zero where there is none.
    address public slasher;

    /// @inheritdoc IOperatorRegistry
    /// @dev Kept beside the statuses and changed wherever one of them is, so that a committee can be drawn without
    ///      reading 256 seats.
    uint256 public activeSeats;

    Seat[256] private _seats;
    mapping(address operator => uint256 indexPlusOne) private _indexPlusOne;
    mapping(address operator => bool) private _isAdmitted;

    /// @inheritdoc IOperatorRegistry
    mapping(address signer => address operator) public operatorOf;

    /// @notice Slashed stake that can be withdrawn by the beneficiary of the slashing.
    mapping(address beneficiary => uint256 amountWei) public owedTo;

    /// @inheritdoc IOperatorRegistry
    /// @dev Kept for ever: it outlasts the seat.
    mapping(address operator => uint64 count) public slashedCount;

    /// @param initialSlasher The slasher from the first block on, so that a deployment needs no transaction of the
    ///        owner. It is created later than this contract, at an address that is known before.
    /// @param asset What is staked: the zero address for ether, else one ERC-20 token.
    constructor(
        address owner,
        uint96 minStakeWei,
        uint64 unbondingSeconds,
        address admitter,
        address initialSlasher,
        address asset
    ) Treasury(asset) Ownable(owner) EIP712("Affidavit Operators", "1") {
        if (unbondingSeconds <= MAX_WINDOW_SECONDS) {
            revert UnbondingTooShort(MAX_WINDOW_SECONDS + 1, unbondingSeconds);
        }
        MIN_STAKE_WEI = minStakeWei;
        UNBONDING_SECONDS = unbondingSeconds;
        ADMITTER = admitter;
        _setSlasher(initialSlasher);
    }

    // ---- operators --------------------------------------------------------------------------------------------

    /// @notice Takes the free seat `index` with `msg.value` as stake.
    /// @param possession Signature by `signer` over OperatorPossession(msg.sender, signer): nobody registers another's
    ///        key.
    function register(uint8 index, address signer, bytes calldata possession) external payable {
        _requireEther();
        _register(index, signer, possession, msg.value);
    }

    /// @notice As `register`, with `amountWei` of the token as stake, which the caller has approved before.
    function registerWithToken(uint8 index, address signer, bytes calldata possession, uint256 amountWei)
        external
        nonReentrant
    {
        _takeTokens(amountWei);
        _register(index, signer, possession, amountWei);
    }

    function _register(uint8 index, address signer, bytes calldata possession, uint256 amountWei) private {
        if (_seats[index].status != SeatStatus.VACANT) revert SeatTaken(index);
        if (_indexPlusOne[msg.sender] != 0) revert AlreadySeated(msg.sender);
        if (!isAdmitted(msg.sender)) revert NotAdmitted(msg.sender);
        if (amountWei < MIN_STAKE_WEI) revert StakeTooLow(MIN_STAKE_WEI, amountWei);
        _requirePossession(signer, possession);

        operatorOf[signer] = msg.sender;
        _indexPlusOne[msg.sender] = uint256(index) + 1;
        _seats[index] = Seat(signer, SeatStatus.ACTIVE, 0, msg.sender, _toStake(amountWei));
        activeSeats |= uint256(1) << index;
        emit OperatorRegistered(index, msg.sender, signer, amountWei);
    }

    /// @notice Adds `msg.value` to the caller's stake; an operator slashed below the minimum becomes active again when
    ///         it is met.
    function addStake() external payable {
        _requireEther();
        _addStake(msg.value);
    }

    /// @notice As `addStake`, with `amountWei` of the token, which the caller has approved before.
    function addTokenStake(uint256 amountWei) external nonReentrant {
        _takeTokens(amountWei);
        _addStake(amountWei);
    }

    function _addStake(uint256 amountWei) private {
        (uint8 index, Seat storage seat) = _seatOf(msg.sender);
        if (seat.status == SeatStatus.EXITING) revert AlreadyExiting(msg.sender);
        seat.stakeWei = _toStake(uint256(seat.stakeWei) + amountWei);
        emit StakeAdded(msg.sender, amountWei, seat.stakeWei);
        _refreshStatus(index);
    }

    /// @notice Replaces the caller's signing key. Signatures of the old key count for nothing from here on.
    function rotateSigner(address signer, bytes calldata possession) external {
        (, Seat storage seat) = _seatOf(msg.sender);
        if (seat.status == SeatStatus.EXITING) revert AlreadyExiting(msg.sender);
        _requirePossession(signer, possession);
        address oldSigner = seat.signer;
        seat.signer = signer;
        operatorOf[signer] = msg.sender;
        emit SignerRotated(msg.sender, oldSigner, signer);
    }

    /// @notice Inactive at once; the stake stays slashable until it can be withdrawn, UNBONDING_SECONDS later.
    function beginExit() external {
        (uint8 index, Seat storage seat) = _seatOf(msg.sender);
        if (seat.status == SeatStatus.EXITING) revert AlreadyExiting(msg.sender);
        seat.status = SeatStatus.EXITING;
        activeSeats &= ~(uint256(1) << index);
        seat.exitAt = uint64(block.timestamp) + UNBONDING_SECONDS;
        emit SeatStatusChanged(msg.sender, index, SeatStatus.EXITING);
        emit ExitBegun(msg.sender, seat.exitAt);
    }

    /// @notice Pays out what is left of the stake and frees the seat.
    function withdrawStake(address payable to) external nonReentrant {
        (uint8 index, Seat storage seat) = _seatOf(msg.sender);
        if (to == address(0)) revert ZeroAddress();
        if (seat.status != SeatStatus.EXITING) revert NotExiting(msg.sender);
        if (block.timestamp < seat.exitAt) revert ExitNotDue(seat.exitAt);
        uint256 stakeWei = seat.stakeWei;
        delete _seats[index];
        delete _indexPlusOne[msg.sender];
        emit StakeWithdrawn(msg.sender, to, stakeWei);
        _give(to, stakeWei);
    }

    // ---- admission --------------------------------------------------------------------------------------------

    /// @notice Lets `operator` register, or be active again.
    function admit(address operator) external {
        if (msg.sender != ADMITTER) revert NotAdmitter(msg.sender);
        _isAdmitted[operator] = true;
        emit OperatorAdmitted(operator);
        _refreshIfSeated(operator);
    }

    /// @notice Takes the right to answer away at once. The stake stays the operator's, to exit with.
    function revoke(address operator) external {
        if (msg.sender != ADMITTER) revert NotAdmitter(msg.sender);
        _isAdmitted[operator] = false;
        emit AdmissionRevoked(operator);
        _refreshIfSeated(operator);
    }

    // ---- slashing ---------------------------------------------------------------------------------------------

    /// @notice Names the contract that may slash.
    /// @dev WARNING: the slasher can take every stake. The owner must be a timelock longer than UNBONDING_SECONDS, so
    ///      that operators can leave before a new slasher acts.
    function setSlasher(address newSlasher) external onlyOwner {
        _setSlasher(newSlasher);
    }

    /// @inheritdoc IOperatorRegistry
    function slash(address operator, uint256 amountWei, address beneficiary) external {
        if (msg.sender != slasher) revert NotSlasher(msg.sender);
        if (beneficiary == address(0)) revert ZeroAddress();
        (uint8 index, Seat storage seat) = _seatOf(operator);
        if (amountWei > seat.stakeWei) revert SlashTooHigh(seat.stakeWei, amountWei);
        seat.stakeWei -= uint96(amountWei);
        owedTo[beneficiary] += amountWei;
        if (beneficiary != BURNT) ++slashedCount[operator];
        emit OperatorSlashed(operator, amountWei, beneficiary);
        _refreshStatus(index);
    }

    /// @notice Pays the caller what slashings credited it.
    function withdrawOwed(address payable to) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        uint256 amountWei = owedTo[msg.sender];
        if (amountWei == 0) revert NothingOwed(msg.sender);
        delete owedTo[msg.sender];
        emit RewardWithdrawn(msg.sender, to, amountWei);
        _give(to, amountWei);
    }

    // ---- reading ----------------------------------------------------------------------------------------------

    /// @inheritdoc IOperatorRegistry
    function activeSigners(uint256 bitmap)
        external
        view
        returns (address[] memory operators, address[] memory signers)
    {
        uint256 count = _countBits(bitmap);
        operators = new address[](count);
        signers = new address[](count);
        uint256 found;
        for (uint256 index; found < count; ++index) {
            if ((bitmap >> index) & 1 == 0) continue;
            Seat storage seat = _seats[index];
            if (seat.status != SeatStatus.ACTIVE) revert OperatorInactive(uint8(index));
            signers[found] = seat.signer;
            operators[found] = seat.operator;
            ++found;
        }
    }

    /// @inheritdoc IOperatorRegistry
    function seatBitOf(address operator) external view returns (uint256 bit) {
        uint256 indexPlusOne = _indexPlusOne[operator];
        return indexPlusOne == 0 ? 0 : uint256(1) << (indexPlusOne - 1);
    }

    /// @inheritdoc IOperatorRegistry
    function signerOf(address operator) external view returns (address signer) {
        uint256 indexPlusOne = _indexPlusOne[operator];
        return indexPlusOne == 0 ? address(0) : _seats[indexPlusOne - 1].signer;
    }

    /// @inheritdoc IOperatorRegistry
    function signerAt(uint8 index) external view returns (address operator, address signer, bool active) {
        Seat storage seat = _seats[index];
        return (seat.operator, seat.signer, seat.status == SeatStatus.ACTIVE);
    }

    /// @inheritdoc IOperatorRegistry
    function stakeOf(address operator) external view returns (uint256 stakeWei) {
        uint256 indexPlusOne = _indexPlusOne[operator];
        return indexPlusOne == 0 ? 0 : _seats[indexPlusOne - 1].stakeWei;
    }

    /// @notice The seat of `operator`; reverts when it has none.
    function operatorInfo(address operator) external view returns (uint8 index, Seat memory seat) {
        return _seatOf(operator);
    }

    /// @notice Whether `operator` may register and be active.
    function isAdmitted(address operator) public view returns (bool) {
        return ADMITTER == address(0) || _isAdmitted[operator];
    }

    /// @notice What a signing key signs to be registered by `operator`.
    function computePossessionDigest(address operator, address signer) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(POSSESSION_TYPEHASH, operator, signer)));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function _setSlasher(address newSlasher) private {
        slasher = newSlasher;
        emit SlasherChanged(newSlasher);
    }

    function _requirePossession(address signer, bytes calldata possession) private view {
        if (signer == address(0)) revert ZeroAddress();
        address user = operatorOf[signer];
        if (user != address(0) && user != msg.sender) revert SignerUsed(signer);
        bytes32 digest = computePossessionDigest(msg.sender, signer);
        (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, possession);
        if (err != ECDSA.RecoverError.NoError || recovered != signer) revert BadPossession(signer);
    }

    function _seatOf(address operator) private view returns (uint8 index, Seat storage seat) {
        uint256 indexPlusOne = _indexPlusOne[operator];
        if (indexPlusOne == 0) revert NotSeated(operator);
        index = uint8(indexPlusOne - 1);
        seat = _seats[index];
    }

    function _refreshIfSeated(address operator) private {
        uint256 indexPlusOne = _indexPlusOne[operator];
        if (indexPlusOne != 0) _refreshStatus(uint8(indexPlusOne - 1));
    }

    function _refreshStatus(uint8 index) private {
        Seat storage seat = _seats[index];
        if (seat.status == SeatStatus.EXITING) return;
        bool isFit = seat.stakeWei >= MIN_STAKE_WEI && isAdmitted(seat.operator);
        SeatStatus status = isFit ? SeatStatus.ACTIVE : SeatStatus.INACTIVE;
        if (status == seat.status) return;
        seat.status = status;
        // The other of the two it can be: the bit changes with it.
        activeSeats ^= uint256(1) << index;
        emit SeatStatusChanged(seat.operator, index, status);
    }

    function _toStake(uint256 amountWei) private pure returns (uint96) {
        if (amountWei > type(uint96).max) revert StakeTooHigh(amountWei);
        return uint96(amountWei);
    }

    function _countBits(uint256 bitmap) private pure returns (uint256 count) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            ++count;
        }
    }
}
