// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITreasury} from "./ITreasury.sol";

/// @title Operators: a seat, a signing key, a stake
interface IOperatorRegistry is ITreasury {
    /// @notice VACANT → ACTIVE ⇄ INACTIVE, both → EXITING → VACANT. INACTIVE: stake below the minimum, or admission
    ///         revoked.
    enum SeatStatus {
        VACANT,
        ACTIVE,
        INACTIVE,
        EXITING
    }

    /// @notice Two storage slots: everything quorum verification reads, and the stake.
    struct Seat {
        address signer;
        SeatStatus status;
        /// @dev Unix seconds from which the stake can be withdrawn; 0 unless EXITING.
        uint64 exitAt;
        address operator;
        uint96 stakeWei;
    }

    event OperatorRegistered(uint8 indexed index, address indexed operator, address indexed signer, uint256 stakeWei);
    event StakeAdded(address indexed operator, uint256 amountWei, uint256 stakeWei);
    event SignerRotated(address indexed operator, address indexed oldSigner, address indexed newSigner);
    event SeatStatusChanged(address indexed operator, uint8 indexed index, SeatStatus status);
    event ExitBegun(address indexed operator, uint64 exitAt);
    event StakeWithdrawn(address indexed operator, address indexed to, uint256 amountWei);
    event OperatorSlashed(address indexed operator, uint256 amountWei, address indexed beneficiary);
    event OperatorAdmitted(address indexed operator);
    event AdmissionRevoked(address indexed operator);
    event SlasherChanged(address indexed slasher);
    event RewardWithdrawn(address indexed beneficiary, address indexed to, uint256 amountWei);

    error UnbondingTooShort(uint64 minSeconds, uint64 gotSeconds);
    error SeatTaken(uint8 index);
    error AlreadySeated(address operator);
    error NotSeated(address operator);
    error NotAdmitted(address operator);
    error NotAdmitter(address caller);
    error NotSlasher(address caller);
    error StakeTooLow(uint256 minWei, uint256 gotWei);
    error StakeTooHigh(uint256 gotWei);
    error SignerUsed(address signer);
    error ZeroAddress();
    error BadPossession(address signer);
    error AlreadyExiting(address operator);
    error NotExiting(address operator);
    error ExitNotDue(uint64 exitAt);
    error SlashTooHigh(uint256 stakeWei, uint256 amountWei);
    error OperatorInactive(uint8 index);
    error NothingOwed(address beneficiary);

    /// @notice Operators and signers of the set bits of `bitmap`, lowest index first; reverts if one of them is not
    ///         active.
    function activeSigners(uint256 bitmap) external view returns (address[] memory operators, address[] memory signers);

    /// @notice Who sits on `index`, with which key, and whether signatures of it count. Zeros for a vacant seat.
    function signerAt(uint8 index) external view returns (address operator, address signer, bool active);

    /// @notice The operator a signing key was ever used by; zero for a key never seen. Never cleared: a key that was
    ///         rotated away or left with its operator still accounts for what it signed, and nobody else can ever use
    ///         it.
    function operatorOf(address signer) external view returns (address operator);

    /// @notice The stake of an operator, also while it is unbonding; 0 for who has no seat.
    function stakeOf(address operator) external view returns (uint256 stakeWei);

    /// @notice The seats whose signatures count: bit i for seat i.
    function activeSeats() external view returns (uint256 bitmap);

    /// @notice The bit of an operator's seat, whatever its status; 0 for who has none.
    function seatBitOf(address operator) external view returns (uint256 bit);

    /// @notice The key an operator signs with now; zero for who has no seat.
    function signerOf(address operator) external view returns (address signer);

    /// @notice Least stake of an active operator.
    // solhint-disable-next-line func-name-mixedcase
    function MIN_STAKE_WEI() external view returns (uint96);

    /// @notice From leaving to the stake.
    // solhint-disable-next-line func-name-mixedcase
    function UNBONDING_SECONDS() external view returns (uint64);

    /// @notice How often an operator was slashed, also on seats it has left. What is burnt beside a reward is not
    ///         counted again.
    function slashedCount(address operator) external view returns (uint64 count);

    /// @notice The contract that may slash.
    function slasher() external view returns (address);

    /// @notice Moves `amountWei` of an operator's stake to `beneficiary`, also while it is unbonding.
    function slash(address operator, uint256 amountWei, address beneficiary) external;
}
